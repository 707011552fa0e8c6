/* What is drawn, beside single events: bands of roles and terms, cuts, calls, and where everything is.
 *
 * Positions are numbers along the axis: of events evenly, one apart, or by time, in ns. */
"use strict";

/* Families of frames and other events: what can be filtered, in the order of the chips. */
const FAMILIES = [
    { id: "votes", label: "votes", test: /vote|timeout-now/ },
    { id: "entries", label: "entries", test: /^append/ },
    { id: "heartbeats", label: "heartbeats", test: /^heartbeat/ },
    { id: "repair", label: "repair", test: /checkpoint|repair|rejoin|refusal/ },
    { id: "clients", label: "clients", test: /^request|^reply|read-index/ },
    { id: "disk", label: "disk" },
    { id: "steps", label: "ticks" },
    { id: "faults", label: "faults" },
];
const FAMILY = Object.fromEntries(FAMILIES.map((family, i) => [family.id, i]));

function familyOfFrame(name) {
    const found = FAMILIES.findIndex((family) => family.test && family.test.test(name));
    return found < 0 ? FAMILY.repair : found;
}

/* Which family each event belongs to. */
function familiesOf(life) {
    const ofText = life.texts.map(() => -1);
    const frame = (text) => (ofText[text] < 0 ? (ofText[text] = familyOfFrame(life.texts[text])) : ofText[text]);
    const families = new Uint8Array(life.count);
    for (let i = 0; i < life.count; i++) {
        const kind = life.kind[i];
        if (kind === K.SEND) families[i] = frame(life.c[i]);
        else if (kind === K.ARRIVE) families[i] = life.cause[i] < 0 ? FAMILY.clients : frame(life.c[life.cause[i]]);
        else if (kind === K.STEP && life.b[i] !== NOBODY) families[i] = frame(life.c[i]);
        else if (kind === K.STEP) families[i] = INPUTS[life.a[i]] === "disk" ? FAMILY.disk : FAMILY.steps;
        else if (kind === K.DISK || kind === K.DISK_END) families[i] = FAMILY.disk;
        else if (kind === K.CALL || kind === K.RETURN) families[i] = FAMILY.clients;
        else families[i] = FAMILY.faults;
    }
    return families;
}

/* By node: pieces of its life, { from, to, role, term }; to: the event that ends it. Role -1: down, -2: stopped. */
function bandsOf(life) {
    const bands = Array.from({ length: life.nodes }, () => []);
    const open = new Array(life.nodes).fill(null);
    const turn = (node, i, role, term) => {
        const band = open[node];
        if (band && band.role === role && band.term === term) return;
        if (band) band.to = i;
        bands[node].push(open[node] = { from: i, to: life.count - 1, role, term });
    };
    for (let i = 0; i < life.count; i++) {
        const node = life.who[i];
        if (node >= life.nodes) continue;
        const kind = life.kind[i];
        if (kind === K.STEP) turn(node, i, life.d[i] % 8, Math.floor(life.d[i] / 8));
        else if (kind === K.START) turn(node, i, ROLE.STARTING, open[node] ? open[node].term : 0);
        else if (kind === K.CRASH) turn(node, i, -1, 0);
        else if (kind === K.STOP) turn(node, i, -2, 0);
    }
    return bands;
}

/* Cuts that one blow made, { from, to, reason, pairs }, and clogs, whose end is a time. */
function cutsOf(life) {
    const cuts = [];
    let last = null;
    const end = (i, test) => cuts.forEach((cut) => { if (cut.to < 0 && test(cut)) cut.to = i; });
    for (let i = 0; i < life.count; i++) {
        const kind = life.kind[i];
        if (kind === K.CUT || kind === K.CLOG) {
            const reason = kind === K.CLOG ? "clog" : life.texts[life.c[i]];
            if (!last || last.reason !== reason || life.time[last.from] !== life.time[i]
                || life.step[last.from] !== life.step[i]) {
                last = { from: i, to: kind === K.CLOG ? Math.min(life.count - 1, life.at(life.time[i] + life.d[i])) : -1,
                         reason, pairs: [] };
                cuts.push(last);
            }
            last.pairs.push([life.who[i], life.a[i]]);
        } else {
            if (kind === K.MEND) end(i, (cut) => cut.reason === life.texts[life.c[i]]);
            else if (kind === K.HEAL) end(i, (cut) => cut.reason !== "outsider");
            last = null;
        }
    }
    end(life.count - 1, () => true);
    return cuts;
}

/* "n0 n1 ⇎ n2", "n2 → n0": who cannot reach whom. */
function cutText(life, cut) {
    const from = new Set(cut.pairs.map((pair) => pair[0]));
    const to = new Set(cut.pairs.map((pair) => pair[1]));
    const names = (set) => Array.from(set).sort((a, b) => a - b).map((end) => life.nameOf(end)).join(" ");
    const twoWay = cut.pairs.some(([a, b]) => cut.pairs.some(([c, d]) => a === d && b === c));
    if (!twoWay) return cut.reason + ": " + names(from) + " ↛ " + names(to);
    const side = new Set([cut.pairs[0][0]]);
    for (const end of from)
        if (!cut.pairs.some(([a, b]) => side.has(a) && b === end)) side.add(end);
    const other = new Set(Array.from(from).filter((end) => !side.has(end)));
    return cut.reason + ": " + names(side) + " | " + names(other);
}

/* Pauses: { node, from, to }. */
function pausesOf(life) {
    const pauses = [];
    for (let i = 0; i < life.count; i++)
        if (life.kind[i] === K.PAUSE)
            pauses.push({ node: life.who[i], from: i, to: Math.min(life.count - 1, life.at(life.time[i] + life.d[i])) });
    return pauses;
}

/* Endpoints that do anything: all nodes, and clients with events of their own. */
function lanesOf(life) {
    const busy = new Set();
    for (let i = 0; i < life.count; i++)
        if (life.who[i] < life.endpoints && !life.isNode(life.who[i])) busy.add(life.who[i]);
    const lanes = [];
    for (let node = 0; node < life.nodes; node++) lanes.push(node);
    return lanes.concat(Array.from(busy).sort((a, b) => a - b));
}

/* Things with a beginning and an end, by beginning: which of them reach into a window? Blocks know how far they reach. */
class Spans {
    constructor(items, position) {
        this.items = items; /* { from, to } */
        this.block = 128;
        this.reach = new Float64Array(Math.ceil(items.length / this.block));
        this.place(position);
    }

    place(position) {
        this.reach.fill(-Infinity);
        for (let i = 0; i < this.items.length; i++) {
            const b = Math.floor(i / this.block);
            this.reach[b] = Math.max(this.reach[b], position(this.items[i].to));
        }
        this.position = position;
    }

    within(left, right, visit) {
        for (let b = 0; b < this.reach.length; b++) {
            if (this.reach[b] < left) continue;
            const end = Math.min(this.items.length, (b + 1) * this.block);
            for (let i = b * this.block; i < end; i++) {
                const item = this.items[i];
                if (this.position(item.from) > right) return;
                if (this.position(item.to) >= left) visit(item);
            }
        }
    }
}
