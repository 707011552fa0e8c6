/* The data of a life: columns of numbers, decoded once; what an event holds, decoded when it is looked at.
 *
 * sim/html.h describes the columns; the meaning of A to D for each kind is in sim/html.c and repeated where it is read. */
"use strict";

const VERSION = 1;
const NOBODY = 255;

/* Kinds of events, as enum observed_kind; filled in from the data's own names. */
const K = {};
/* What a named value is (html_columns.c). */
const VALUE = { NUMBER: 0, ID: 1, HASH: 2, TEXT: 3, PAIR: 4, GONE: 5, BIG: 6, WHOLE: 7 };
const CALL_OUTCOME = ["done", "refused", "unknown"];
const ROLE = { STARTING: 0, FOLLOWER: 1, PRE_CANDIDATE: 2, CANDIDATE: 3, LEADER: 4, STOPPED: 5 };
const INPUTS = ["start", "tick", "frame", "request", "disk"];

function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
}

/* Numbers of seven bits a byte. `grows`: each is the difference to the one before. */
function numbersOf(base64, count, grows) {
    const bytes = bytesOf(base64);
    const numbers = new Float64Array(count);
    let at = 0;
    let last = 0;
    for (let i = 0; i < count; i++) {
        let value = 0;
        let scale = 1;
        let byte;
        do {
            byte = bytes[at++];
            value += (byte & 127) * scale;
            scale *= 128;
        } while (byte > 127);
        last = grows ? last + value : value;
        numbers[i] = last;
    }
    return numbers;
}

class Life {
    constructor(data) {
        if (data.version !== VERSION) throw new Error("data of version " + data.version + ", expected " + VERSION);
        Object.assign(this, { title: data.title, count: data.count, nodes: data.nodes, ids: data.ids });
        Object.assign(this, { firstClient: data.firstClient, endpoints: data.endpoints, texts: data.texts });
        Object.assign(this, { kinds: data.kinds, roles: data.roles, fates: data.fates });
        data.kinds.forEach((name, i) => { K[name.toUpperCase().replace("-", "_")] = i; });
        const columns = data.columns;
        this.kind = bytesOf(columns.kind);
        this.who = bytesOf(columns.who);
        this.time = numbersOf(columns.time, this.count, true);
        this.step = numbersOf(columns.step, this.count, true);
        this.a = numbersOf(columns.a, this.count);
        this.b = numbersOf(columns.b, this.count);
        this.c = numbersOf(columns.c, this.count);
        this.d = numbersOf(columns.d, this.count);
        this.causeOf(numbersOf(columns.cause, this.count));
        this.details = bytesOf(columns.details);
        this.states = bytesOf(columns.states);
        this.detailsAt = this.placesOf(numbersOf(columns.detailsBytes, this.count));
        this.statesAt = this.placesOf(numbersOf(columns.stateBytes, this.count));
        this.violation = this.kind.indexOf(K.VIOLATION);
        this.stepsOfNodes();
    }

    /* cause[i]: the event that this one comes from; effect[i]: what came of it. -1: none, or not in this life. */
    causeOf(back) {
        this.cause = new Int32Array(this.count).fill(-1);
        this.effect = new Int32Array(this.count).fill(-1);
        for (let i = 0; i < this.count; i++) {
            if (back[i] === 0) continue;
            this.cause[i] = i - back[i];
            this.effect[this.cause[i]] = i;
        }
    }

    placesOf(lengths) {
        const places = new Uint32Array(this.count + 1);
        for (let i = 0; i < this.count; i++) places[i + 1] = places[i] + lengths[i];
        return places;
    }

    /* By node: its steps, ascending. */
    stepsOfNodes() {
        this.stepsOf = Array.from({ length: this.nodes }, () => []);
        for (let i = 0; i < this.count; i++)
            if (this.kind[i] === K.STEP && this.who[i] < this.nodes) this.stepsOf[this.who[i]].push(i);
    }

    isNode(endpoint) { return endpoint < this.firstClient; }

    nameOf(endpoint) {
        if (endpoint >= this.endpoints) return "–";
        return this.isNode(endpoint) ? "n" + endpoint : "c" + (endpoint - this.firstClient);
    }

    /* Does a frame that was sent travel? The first fates do (enum frame_fate). */
    fate(i) { return this.b[i] & 15; }
    travels(i) { return this.fate(i) < 4; }
    isHeld(i) { return this.fate(i) === 8; } /* until it is released, as a frame of its own */
    isCopy(i) { return this.fate(i) === 1 || this.fate(i) === 2; }
    isDelayed(i) { return (this.b[i] & 16) !== 0 || this.fate(i) === 2; }
    isDamaged(i) { return (this.b[i] & 32) !== 0; }

    /* The first event that is not before a time. */
    at(time) {
        let low = 0;
        let high = this.count;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.time[middle] < time) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /* ---- named values ---- */

    /* Values between two places of a stream: { name, brief, what, text, value }. */
    values(bytes, at, end) {
        const values = [];
        const number = () => {
            let value = 0;
            let scale = 1;
            let byte;
            do {
                byte = bytes[at++];
                value += (byte & 127) * scale;
                scale *= 128;
            } while (byte > 127);
            return value;
        };
        const word = () => {
            let value = 0n;
            for (let i = 7; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]);
            at += 8;
            return value;
        };
        while (at < end) {
            const key = number();
            const what = key & 7;
            const value = { name: this.texts[Math.floor(key / 16)], brief: (key & 8) !== 0, what, text: "", value: 0 };
            if (what === VALUE.NUMBER) value.text = String(value.value = number());
            else if (what === VALUE.ID) value.text = number() + "." + (value.value = number());
            else if (what === VALUE.HASH) value.text = word().toString(16).padStart(16, "0");
            else if (what === VALUE.TEXT) value.text = this.texts[number()];
            else if (what === VALUE.PAIR) value.text = number() + " " + number();
            else if (what === VALUE.BIG) value.text = word().toString();
            values.push(value);
        }
        return values;
    }

    detailsOf(i) { return this.values(this.details, this.detailsAt[i], this.detailsAt[i + 1]); }

    /* The last step of a node up to an event; its place among the node's steps, -1: none. */
    lastStep(node, i) {
        const steps = this.stepsOf[node];
        let low = 0;
        let high = steps.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (steps[middle] <= i) low = middle + 1;
            else high = middle;
        }
        return low - 1;
    }

    /* What the node holds behind its step number `place`: a Map in the order in which it is told, or null. Read back to
     * where all of it was told. */
    stateAt(node, place) {
        const state = new Map();
        const steps = this.stepsOf[node];
        let from = place;
        const told = [];
        for (; from >= 0; from--) {
            const i = steps[from];
            const values = this.values(this.states, this.statesAt[i], this.statesAt[i + 1]);
            told.push(values);
            if (values.length > 0 && values[0].what === VALUE.WHOLE) break;
        }
        if (from < 0) return null;
        for (const values of told.reverse())
            for (const value of values) {
                if (value.what === VALUE.GONE) state.delete(value.name);
                else if (value.what !== VALUE.WHOLE) state.set(value.name, value.text);
            }
        return state;
    }

    /* ---- one line ---- */

    briefOf(i) {
        return this.detailsOf(i).filter((v) => v.brief)
            .map((v) => (v.text === "" ? v.name : v.name + "=" + v.text)).join(" ");
    }

    /* What an event is, without whom it happens to. */
    lineOf(i) {
        const brief = this.briefOf(i);
        switch (this.kind[i]) {
        case K.STEP: return this.inputOf(i) + (brief ? "  " + brief : "");
        case K.SEND: {
            const marks = [this.fates[this.fate(i)]];
            if (this.isDelayed(i) && this.fate(i) !== 2) marks.push("delayed");
            if (this.isDamaged(i)) marks.push("damaged");
            return "→ " + this.nameOf(this.a[i]) + " " + this.texts[this.c[i]] + " " + brief + "  " + marks.join(", ");
        }
        case K.ARRIVE: return this.cause[i] < 0 ? "a frame arrives" : this.texts[this.c[this.cause[i]]] + " from "
            + this.nameOf(this.who[this.cause[i]]) + (this.a[i] ? " arrives" : " finds nobody up");
        case K.DISK: return brief;
        case K.DISK_END: return "gone: " + brief;
        case K.CUT: return "link to " + this.nameOf(this.a[i]) + " cut (" + this.texts[this.c[i]] + ")";
        case K.CLOG: return "link to " + this.nameOf(this.a[i]) + " clogged";
        case K.MEND: return "links mended (" + this.texts[this.c[i]] + ")";
        case K.HEAL: return "everything is healed: now it must make progress";
        case K.PAUSE: return "paused";
        case K.CRASH: return "crash: power is gone";
        case K.VIOLATION: return "VIOLATION " + brief;
        default: return this.kinds[this.kind[i]] + (brief ? "  " + brief : "");
        }
    }

    inputOf(i) {
        const input = INPUTS[this.a[i]];
        if (this.b[i] !== NOBODY) return "← " + this.nameOf(this.b[i]) + " " + this.texts[this.c[i]];
        return input === "disk" ? "disk completes" : input;
    }
}

function formatTime(ns) {
    if (ns >= 1e9) return (ns / 1e9).toFixed(6) + " s";
    if (ns >= 1e6) return (ns / 1e6).toFixed(3) + " ms";
    return (ns / 1e3).toFixed(1) + " µs";
}
