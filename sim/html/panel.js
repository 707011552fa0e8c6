/* What stands beside the picture: the event that is selected, the node's values there, all nodes, and the list. */
"use strict";

const ROW = 20;

function element(id) { return document.getElementById(id); }

function fill(list, pairs) {
    list.replaceChildren(...pairs.flatMap(([name, value, changed, before]) => {
        const dt = document.createElement("dt");
        const dd = document.createElement("dd");
        dt.textContent = name;
        if (changed && before !== undefined) {
            const old = document.createElement("s");
            old.textContent = before;
            dd.append(old);
        }
        dd.append(value === "" ? "yes" : value);
        if (changed) dd.className = "changed";
        return [dt, dd];
    }));
}

class Panel {
    constructor(view, go) {
        this.view = view;
        this.life = view.life;
        this.go = go; /* selects an event */
        this.list = element("list");
        this.rows = element("rows");
        this.list.addEventListener("scroll", () => this.drawRows());
    }

    /* ---- the event ---- */

    show(i) {
        const { life } = this;
        if (i < 0) return;
        element("event-title").textContent = this.titleOf(i);
        element("event-where").textContent = "step " + life.step[i] + "  ·  " + formatTime(life.time[i]) + "  ·  event " + i;
        this.showLinks(i);
        fill(element("event-values"), this.extraOf(i).concat(this.valuesOf(i)));
        this.showState(i);
        this.showCluster(i);
        this.reveal(i);
    }

    titleOf(i) {
        const { life } = this;
        const who = life.nameOf(life.who[i]);
        switch (life.kind[i]) {
        case K.SEND: return who + " → " + life.nameOf(life.a[i]) + "  " + life.texts[life.c[i]];
        case K.STEP: return who + " is fed: " + life.inputOf(i).replace("←", "from");
        case K.DISK: return who + " disk: " + ((life.a[i] & 1) === 1 ? "write" : "read");
        case K.DISK_END: return who + " disk: gone with the node";
        case K.CALL: return who + " calls: " + life.texts[life.c[i]];
        case K.RETURN: return who + " returns";
        case K.VIOLATION: return "Violation: " + life.texts[life.c[i]];
        default: return (life.who[i] < life.endpoints ? who + "  " : "") + life.lineOf(i);
        }
    }

    /* Values of the event; a step that a frame fed shows the frame, too. */
    valuesOf(i) {
        const { life } = this;
        const own = life.detailsOf(i).map((value) => [value.name, value.text]);
        const cause = life.cause[i];
        if (cause < 0 || (life.kind[cause] !== K.SEND && life.kind[cause] !== K.DISK)) return own;
        return own.concat([["", life.kind[cause] === K.SEND ? "the frame" : "the operation"]],
                          life.detailsOf(cause).map((value) => [value.name, value.text]));
    }

    extraOf(i) {
        const { life } = this;
        const kind = life.kind[i];
        const extra = [];
        if (kind === K.SEND) {
            const marks = [life.fates[life.fate(i)]];
            if (life.isDelayed(i)) marks.push("delayed");
            if (life.isDamaged(i)) marks.push("damaged");
            extra.push(["fate", marks.join(", ")]);
            if (life.travels(i)) extra.push(["under way for", formatTime(life.d[i])]);
        } else if (kind === K.DISK && life.effect[i] >= 0) {
            extra.push(["takes", formatTime(life.time[life.effect[i]] - life.time[i])]);
        } else if (kind === K.RETURN && life.cause[i] >= 0) {
            extra.push(["took", formatTime(life.time[i] - life.time[life.cause[i]])]);
            extra.push(["outcome", CALL_OUTCOME[life.b[i]]]);
        } else if (kind === K.CUT || kind === K.CLOG) {
            const cut = this.view.cuts.find((one) => one.from <= i && i < one.from + one.pairs.length);
            if (cut) extra.push(["links", cutText(life, cut)], ["until", formatTime(life.time[cut.to])]);
        }
        return extra;
    }

    showLinks(i) {
        const { life } = this;
        const links = [];
        const add = (label, target) => {
            if (target < 0) return;
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = label + " " + target;
            button.addEventListener("click", () => this.go(target));
            links.push(button);
        };
        const ends = life.kind[i] === K.SEND ? "arrives:" : life.kind[i] === K.CALL ? "returns:" : "completes:";
        add("caused by event", life.cause[i]);
        add(ends + " event", life.effect[i]);
        element("event-links").replaceChildren(...links);
    }

    /* What the node held behind the event; bold: what it changed. */
    showState(i) {
        const { life } = this;
        const node = life.who[i];
        const place = node < life.nodes ? life.lastStep(node, i) : -1;
        const state = place < 0 ? null : life.stateAt(node, place);
        element("state-title").textContent = state ? "State of " + life.nameOf(node) + " (id " + life.ids[node] + ") behind step "
            + life.step[life.stepsOf[node][place]] : "";
        if (!state) {
            fill(element("state"), []);
            return;
        }
        const before = place > 0 && life.stepsOf[node][place] === i ? life.stateAt(node, place - 1) : state;
        fill(element("state"), Array.from(state, ([name, text]) =>
            [name, text, name !== "clock" && before.get(name) !== text, before.get(name)]));
    }

    showCluster(i) {
        const { life, view } = this;
        const names = ["role", "term", "last", "commit", "applied", "vote", "leader"];
        const row = (cells, tag) => {
            const tr = document.createElement("tr");
            for (const cell of cells) {
                const td = document.createElement(tag);
                td.append(cell);
                tr.append(td);
            }
            return tr;
        };
        const rows = [row(["node"].concat(names), "th")];
        for (let node = 0; node < life.nodes; node++) {
            const band = view.bands[node].findLast((one) => one.from <= i);
            const place = life.lastStep(node, i);
            const state = band && band.role >= 0 && place >= 0 ? life.stateAt(node, place) : null;
            const mark = document.createElement("i");
            mark.style.background = state ? termColor(band.term, view.theme, band.role === ROLE.LEADER ? 1 : 0.5) : "transparent";
            const name = document.createElement("span");
            name.append(mark, life.nameOf(node));
            const down = band && band.role === -2 ? "stopped" : "down";
            const tr = row([name].concat(names.map((one, at) => (state ? state.get(one) || "" : at === 0 ? down : ""))), "td");
            if (node === life.who[i]) tr.className = "here";
            rows.push(tr);
        }
        element("cluster").replaceChildren(...rows);
    }

    /* ---- the list: only the rows that can be seen exist ---- */

    place(i) {
        const { list } = this.view;
        let low = 0;
        let high = list.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (list[middle] < i) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    reveal(i) {
        const top = this.place(i) * ROW;
        if (top < this.list.scrollTop || top > this.list.scrollTop + this.list.clientHeight - ROW)
            this.list.scrollTop = top - this.list.clientHeight / 2;
        this.drawRows();
    }

    drawRows() {
        const { life, view } = this;
        this.rows.style.height = view.list.length * ROW + "px";
        const from = Math.max(0, Math.floor(this.list.scrollTop / ROW) - 4);
        const to = Math.min(view.list.length, from + Math.ceil(this.list.clientHeight / ROW) + 8);
        const rows = [];
        for (let at = from; at < to; at++) {
            const i = view.list[at];
            const row = document.createElement("div");
            const step = document.createElement("span");
            const who = document.createElement("b");
            step.textContent = life.step[i];
            who.textContent = life.nameOf(life.who[i]);
            row.append(step, who, life.lineOf(i));
            const kind = life.kind[i];
            const bad = kind === K.CRASH || kind === K.STOP || kind === K.VIOLATION || kind === K.FAULT || kind === K.DISK_END
                || (kind === K.SEND && !life.travels(i));
            row.className = "row" + (i === view.selected ? " selected" : "") + (bad ? " bad" : "") + (view.matches.has(i) ? " match" : "");
            row.style.top = at * ROW + "px";
            row.addEventListener("click", () => this.go(i));
            rows.push(row);
        }
        this.rows.replaceChildren(...rows);
    }
}
