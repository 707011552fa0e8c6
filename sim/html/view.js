/* The window onto a life: which part of it, which lanes, what is shown, and where everything is. draw.js draws it. */
"use strict";

const RULER = 26; /* height of the scale on top */
const CUT_ROW = 15;
const DETAIL_MAX = 2600; /* events in the window up to which each is drawn */

class View {
    constructor(canvas, life) {
        this.canvas = canvas;
        this.context = canvas.getContext("2d");
        this.life = life;
        this.families = familiesOf(life);
        this.bands = bandsOf(life);
        this.cuts = cutsOf(life);
        this.pauses = pausesOf(life);
        this.allLanes = lanesOf(life);
        this.hidden = new Set(); /* endpoints */
        this.off = new Set(); /* families */
        this.byTime = false;
        this.selected = -1;
        this.matches = new Set();
        this.left = 0;
        this.scale = 1; /* pixels per position */
        this.drawn = 0;
        this.gather();
        this.filter();
    }

    /* Things with two ends. */
    gather() {
        const { life } = this;
        const frames = [];
        const operations = [];
        const calls = [];
        const end = (i) => (life.effect[i] >= 0 ? life.effect[i] : life.count - 1);
        for (let i = 0; i < life.count; i++) {
            const kind = life.kind[i];
            if (kind === K.SEND) frames.push({ from: i, to: life.travels(i) ? end(i) : i });
            else if (kind === K.DISK) operations.push({ from: i, to: end(i) });
            else if (kind === K.CALL) calls.push({ from: i, to: end(i) });
        }
        this.items = { frames, operations, calls };
    }

    /* After a change of what is shown: `shown`, the list of shown events, positions. */
    filter() {
        const { life } = this;
        const lane = new Uint8Array(256).fill(1);
        for (const endpoint of this.hidden) lane[endpoint] = 0;
        const family = FAMILIES.map((_, i) => (this.off.has(i) ? 0 : 1));
        this.shown = new Uint8Array(life.count);
        this.rank = new Float64Array(life.count);
        const list = [];
        for (let i = 0; i < life.count; i++) {
            const kind = life.kind[i];
            const both = kind !== K.SEND || lane[life.a[i]] === 1;
            this.rank[i] = list.length;
            if ((family[this.families[i]] && lane[life.who[i]] && both) || kind === K.VIOLATION) {
                this.shown[i] = 1;
                list.push(i);
            }
        }
        this.list = Int32Array.from(list);
        this.lanes = this.allLanes.filter((endpoint) => !this.hidden.has(endpoint));
        this.place();
        this.layout();
    }

    place() {
        const positions = this.byTime ? this.life.time : this.rank;
        const position = (i) => positions[i];
        this.position = position;
        this.spans = Object.fromEntries(Object.entries(this.items).map(([name, items]) => [name, new Spans(items, position)]));
        this.first = this.life.count > 0 ? position(0) : 0;
        this.last = this.life.count > 0 ? Math.max(position(this.life.count - 1), this.first + 1) : 1;
    }

    layout() {
        const reasons = Array.from(new Set(this.cuts.map((cut) => cut.reason)));
        this.cutRows = new Map(reasons.map((reason, i) => [reason, i]));
        this.cutsHeight = reasons.length > 0 ? reasons.length * CUT_ROW + 6 : 0;
        const nodes = this.lanes.filter((endpoint) => this.life.isNode(endpoint)).length;
        const clients = this.lanes.length - nodes;
        const room = this.height - RULER - this.cutsHeight - 6;
        const clientHeight = clients > 0 ? Math.max(17, Math.min(26, (room * 0.35) / clients)) : 0;
        const nodeHeight = nodes > 0 ? Math.max(44, Math.min(210, (room - clients * clientHeight) / nodes)) : 0;
        this.lane = new Map();
        let top = RULER + this.cutsHeight;
        for (const endpoint of this.lanes) {
            const height = this.life.isNode(endpoint) ? nodeHeight : clientHeight;
            const node = this.life.isNode(endpoint);
            this.lane.set(endpoint, { top, height, node, axis: top + height * (node ? 0.42 : 0.5) });
            top += height;
        }
        this.bottom = top;
    }

    resize() {
        const ratio = window.devicePixelRatio || 1;
        this.width = this.canvas.clientWidth;
        this.height = this.canvas.clientHeight;
        this.canvas.width = Math.round(this.width * ratio);
        this.canvas.height = Math.round(this.height * ratio);
        this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
        this.layout();
    }

    /* ---- the window ---- */

    x(i) { return (this.position(i) - this.left) * this.scale; }
    right() { return this.left + this.width / this.scale; }
    scaleMin() { return this.width / ((this.last - this.first) * 1.04 + 1); }
    scaleMax() { return this.byTime ? 0.05 : 60; }

    clamp() {
        this.scale = Math.min(this.scaleMax(), Math.max(this.scaleMin(), this.scale));
        const span = this.width / this.scale;
        const slack = span * 0.5;
        this.left = Math.max(this.first - slack, Math.min(this.last + slack - span * 0.2, this.left));
        if (span >= this.last - this.first) this.left = this.first - (span - (this.last - this.first)) / 2;
    }

    zoom(factor, at) {
        const anchor = this.left + at / this.scale;
        this.scale = Math.min(this.scaleMax(), Math.max(this.scaleMin(), this.scale * factor));
        this.left = anchor - at / this.scale;
        this.clamp();
    }

    pan(pixels) {
        this.left += pixels / this.scale;
        this.clamp();
    }

    fit() {
        this.scale = this.scaleMin();
        this.left = this.first - (this.last - this.first) * 0.02;
        this.clamp();
    }

    /* So many events around one, that one at a share of the width. */
    show(i, events, share) {
        if (this.byTime) {
            const from = Math.max(0, i - Math.round(events * share));
            const to = Math.min(this.life.count - 1, i + Math.round(events * (1 - share)));
            this.scale = this.width / Math.max(1, (this.life.time[to] - this.life.time[from]) * 1.1);
        } else {
            this.scale = this.width / events;
        }
        this.scale = Math.min(this.scaleMax(), Math.max(this.scaleMin(), this.scale));
        this.left = this.position(i) - (this.width * share) / this.scale;
        this.clamp();
    }

    /* Moves as little as it must. */
    reveal(i) {
        const x = this.x(i);
        const margin = Math.min(90, this.width / 5);
        if (x < margin) this.pan(x - margin);
        else if (x > this.width - margin) this.pan(x - this.width + margin);
    }

    /* The shown events in the window: places in the list. */
    window() {
        const find = (position) => {
            let low = 0;
            let high = this.list.length;
            while (low < high) {
                const middle = (low + high) >> 1;
                if (this.position(this.list[middle]) < position) low = middle + 1;
                else high = middle;
            }
            return low;
        };
        return [find(this.left - 8 / this.scale), find(this.right() + 8 / this.scale)];
    }

    /* ---- where things are ---- */

    operationBox(item, lane) {
        const x = this.x(item.from);
        const row = this.life.b[item.from] % 3;
        const height = Math.max(2, Math.min(6, lane.height * 0.09));
        return { x, y: lane.top + lane.height * 0.66 + row * (height + 1.5), width: Math.max(2, this.x(item.to) - x), height };
    }

    /* Where a frame begins and ends on the canvas. One that is lost gets a part of the way. */
    frameLine(item) {
        const { life } = this;
        const from = this.lane.get(life.who[item.from]);
        const to = this.lane.get(life.a[item.from]);
        if (!from || !to) return null;
        const x1 = this.x(item.from);
        if (life.travels(item.from)) return { x1, y1: from.axis, x2: Math.max(this.x(item.to), x1 + 2), y2: to.axis };
        return { x1, y1: from.axis, x2: x1 + 16, y2: from.axis + (to.axis - from.axis) * 0.45 };
    }

    markY(i, lane) {
        const kind = this.life.kind[i];
        const operation = kind === K.DISK;
        if (!operation) return lane.axis;
        const box = this.operationBox({ from: i, to: i }, lane);
        return box.y + box.height / 2;
    }

    /* ---- what is under the pointer ---- */

    hit(x, y) {
        let best = -1;
        let distance = 12;
        const offer = (i, d) => {
            if (d < distance) {
                distance = d;
                best = i;
            }
        };
        const { life } = this;
        const [from, to] = this.window();
        for (let at = from; at < to; at++) {
            const i = this.list[at];
            const lane = this.lane.get(life.who[i]);
            if (!lane) continue;
            const weight = life.kind[i] === K.SEND ? 4 : 0; /* a step lies where its frames begin */
            offer(i, Math.hypot(this.x(i) - x, (this.markY(i, lane) - y) * 0.8) + weight);
        }
        if (!this.detailed) {
            if (best < 0) for (let at = from; at < to; at++) this.offerColumn(this.list[at], x, y, offer);
            return best;
        }
        this.spans.frames.within(this.left, this.right(), (item) => {
            const line = this.shown[item.from] ? this.frameLine(item) : null;
            if (line) offer(item.from, this.distanceTo(line, x, y) + 2);
        });
        const boxes = (spans, box) => spans.within(this.left, this.right(), (item) => {
            if (this.shown[item.from] && box(item)) offer(item.from, 3);
        });
        boxes(this.spans.operations, (item) => {
            const it = this.operationBox(item, this.lane.get(life.who[item.from]));
            return x >= it.x - 1 && x <= it.x + it.width + 1 && y >= it.y - 1 && y <= it.y + it.height + 1;
        });
        boxes(this.spans.calls, (item) => {
            const lane = this.lane.get(life.who[item.from]);
            return y >= lane.top && y <= lane.top + lane.height && x >= this.x(item.from) && x <= this.x(item.to);
        });
        return best >= 0 ? best : this.hitCut(x, y);
    }

    offerColumn(i, x, y, offer) {
        const lane = this.lane.get(this.life.who[i]);
        if (lane && y >= lane.top && y < lane.top + lane.height) offer(i, Math.abs(this.x(i) - x));
    }

    hitCut(x, y) {
        for (const cut of this.cuts) {
            const top = RULER + 3 + this.cutRows.get(cut.reason) * CUT_ROW;
            if (y >= top && y < top + CUT_ROW && x >= this.x(cut.from) && x <= this.x(cut.to)) return cut.from;
        }
        return -1;
    }

    distanceTo(line, x, y) {
        const dx = line.x2 - line.x1;
        const dy = line.y2 - line.y1;
        const along = Math.max(0, Math.min(1, ((x - line.x1) * dx + (y - line.y1) * dy) / (dx * dx + dy * dy || 1)));
        return Math.hypot(line.x1 + along * dx - x, line.y1 + along * dy - y);
    }
}
