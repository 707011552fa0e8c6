/* The picture: lanes, bands, frames, operations. Only what is in the window is drawn; what would be too much is drawn as
 * how much there is. */
"use strict";

const LABEL_FONT = "11px ui-sans-serif, system-ui, sans-serif";

/* Terms take hues that stay apart from the red of trouble. */
function termColor(term, theme, alpha) {
    const hue = 45 + ((term * 0.618034) % 1) * 265;
    return `hsla(${hue}, ${theme.dark ? 55 : 62}%, ${theme.dark ? 58 : 50}%, ${alpha})`;
}

class Picture extends View {
    draw() {
        const { context, theme } = this;
        context.clearRect(0, 0, this.width, this.height);
        const [from, to] = this.window();
        this.detailed = to - from <= DETAIL_MAX;
        this.inWindow = to - from;
        this.drawn = 0;
        this.drawRuler();
        this.drawCuts();
        for (const endpoint of this.lanes) this.drawLane(endpoint);
        if (this.detailed) {
            this.drawOperations();
            this.drawCalls();
            this.drawFrames();
            for (let at = from; at < to; at++) this.drawEvent(this.list[at]);
        } else {
            this.drawDensity(from, to);
        }
        for (const endpoint of this.lanes)
            if (this.lane.get(endpoint).node) for (const band of this.bands[endpoint]) this.drawBandLabel(this.lane.get(endpoint), band);
        this.drawMatches(from, to);
        this.drawViolation();
        this.drawSelected();
        context.fillStyle = theme.line;
        context.fillRect(0, RULER - 1, this.width, 1);
    }

    drawRuler() {
        const { context, theme, life } = this;
        context.font = LABEL_FONT;
        context.textBaseline = "middle";
        const every = 130;
        let next = 6;
        for (let x = 6; x < this.width - 60; x += every) {
            const position = this.left + x / this.scale;
            const i = this.byTime ? Math.min(life.count - 1, life.at(position))
                : this.list[Math.max(0, Math.min(this.list.length - 1, Math.round(position)))];
            if (i === undefined || position < this.first || position > this.last || x < next) continue;
            context.fillStyle = theme.line;
            context.fillRect(Math.round(x), RULER - 6, 1, 5);
            context.fillStyle = theme.faint;
            const text = this.byTime ? formatTime(position) : "step " + life.step[i] + "  ·  " + formatTime(life.time[i]);
            context.fillText(text, x + 4, RULER / 2);
            next = x + context.measureText(text).width + 24;
        }
    }

    drawCuts() {
        const { context, theme, life } = this;
        context.font = LABEL_FONT;
        for (const cut of this.cuts) {
            const left = Math.max(-4, this.x(cut.from));
            const right = Math.min(this.width + 4, Math.max(this.x(cut.to), this.x(cut.from) + 2));
            if (right < 0 || left > this.width) continue;
            const top = RULER + 3 + this.cutRows.get(cut.reason) * CUT_ROW;
            context.fillStyle = cut.reason === "clog" ? theme.delayedSoft : theme.lostSoft;
            context.fillRect(left, top, right - left, CUT_ROW - 2);
            context.fillStyle = cut.reason === "clog" ? theme.delayed : theme.lost;
            context.fillRect(left, top, 2, CUT_ROW - 2);
            this.drawn++;
            if (right - left > 40) this.label(cutText(life, cut), left + 6, top + CUT_ROW / 2 - 0.5, right - left - 10, theme.text);
        }
    }

    /* Text cut to a width. */
    label(text, x, y, width, color) {
        const { context } = this;
        if (width < 14) return;
        const letters = Math.floor(width / 5.6);
        context.fillStyle = color;
        context.textBaseline = "middle";
        context.fillText(text.length > letters ? text.slice(0, Math.max(1, letters - 1)) + "…" : text, Math.max(4, x), y);
    }

    drawLane(endpoint) {
        const { context, theme } = this;
        const lane = this.lane.get(endpoint);
        context.fillStyle = theme.line;
        context.fillRect(0, lane.top, this.width, 1);
        if (!lane.node) return;
        for (const band of this.bands[endpoint]) this.drawBand(lane, band);
        for (const pause of this.pauses)
            if (pause.node === endpoint) this.hatch(this.x(pause.from), this.x(pause.to), lane.top + 2, lane.height - 3, theme.delayed);
    }

    /* A term is a colour. A leader's band is high, a candidate's half, a follower's a line; who is down has none. */
    drawBand(lane, band) {
        const { context, theme } = this;
        const left = this.x(band.from);
        const right = this.x(band.to);
        if (right < 0 || left > this.width) return;
        const x = Math.max(-2, left);
        const width = Math.max(1, Math.min(this.width + 2, right) - x);
        const top = lane.top + 3;
        const height = lane.height * 0.3;
        this.drawn++;
        if (band.role < 0) {
            context.fillStyle = theme.down;
            context.fillRect(x, lane.top + 1, width, lane.height - 1);
            this.hatch(left, right, lane.top + 1, lane.height - 1, band.role === -2 ? theme.lost : theme.faint);
            this.label(band.role === -2 ? "stopped" : "down", x + 6, lane.axis, width - 8, theme.faint);
            return;
        }
        const leader = band.role === ROLE.LEADER;
        const candidate = band.role === ROLE.CANDIDATE || band.role === ROLE.PRE_CANDIDATE;
        const depth = leader ? height : candidate ? height * 0.6 : 3;
        context.fillStyle = band.role === ROLE.STARTING ? theme.faint : termColor(band.term, theme, leader ? 0.85 : 0.7);
        context.fillRect(x, top + (height - depth), width, depth);
        if (band.role === ROLE.PRE_CANDIDATE) this.hatch(left, right, top + (height - depth), depth, theme.back);
    }

    /* On top of the frames, with room of its own. */
    drawBandLabel(lane, band) {
        const { context, theme, life } = this;
        const x = Math.max(-2, this.x(band.from));
        const width = Math.min(this.width + 2, this.x(band.to)) - x;
        if (band.role < 0 || width < 34 || x > this.width) return;
        const leader = band.role === ROLE.LEADER;
        const candidate = band.role === ROLE.CANDIDATE || band.role === ROLE.PRE_CANDIDATE;
        if (!leader && !candidate && width < 90) return;
        const height = lane.height * 0.3;
        const text = life.roles[band.role] + (band.role === ROLE.STARTING ? "" : " · term " + band.term);
        const inside = leader || candidate;
        const depth = leader ? height : candidate ? height * 0.6 : 3;
        const y = inside ? lane.top + 3 + height - depth / 2 : lane.top + height - 7;
        context.font = "600 " + LABEL_FONT;
        this.label(text, x + 5, y, width - 8, inside ? theme.onBand : theme.faint);
    }

    hatch(left, right, top, height, color) {
        const { context } = this;
        const x = Math.max(-8, left);
        const end = Math.min(this.width + 8, right);
        if (end - x < 3) return;
        context.save();
        context.beginPath();
        context.rect(x, top, end - x, height);
        context.clip();
        context.strokeStyle = color;
        context.globalAlpha = 0.4;
        context.lineWidth = 1;
        context.beginPath();
        for (let at = x - height - (x % 7); at < end; at += 7) {
            context.moveTo(at, top + height);
            context.lineTo(at + height, top);
        }
        context.stroke();
        context.restore();
    }

    drawOperations() {
        const { context, theme, life } = this;
        this.spans.operations.within(this.left, this.right(), (item) => {
            if (!this.shown[item.from]) return;
            const lane = this.lane.get(life.who[item.from]);
            const box = this.operationBox(item, lane);
            const write = (life.a[item.from] & 1) === 1;
            const ended = life.effect[item.from];
            const gone = ended >= 0 && life.kind[ended] === K.DISK_END;
            context.fillStyle = gone ? theme.lost : theme.disk;
            context.globalAlpha = write ? 0.75 : 0.3;
            context.fillRect(box.x, box.y, box.width, box.height);
            context.globalAlpha = 1;
            this.drawn++;
        });
    }

    drawCalls() {
        const { context, theme, life } = this;
        context.font = LABEL_FONT;
        this.spans.calls.within(this.left, this.right(), (item) => {
            if (!this.shown[item.from]) return;
            const lane = this.lane.get(life.who[item.from]);
            const end = life.effect[item.from];
            const outcome = end < 0 ? "unknown" : CALL_OUTCOME[life.b[end]];
            const x = Math.max(-4, this.x(item.from));
            const width = Math.max(3, Math.min(this.width + 4, this.x(item.to)) - x);
            const height = Math.min(16, lane.height - 5);
            context.fillStyle = theme[outcome];
            context.fillRect(x, lane.axis - height / 2, width, height);
            if (outcome === "unknown") this.hatch(x, x + width, lane.axis - height / 2, height, theme.back);
            this.label(life.texts[life.c[item.from]], x + 4, lane.axis, width - 6, theme.onBand);
            this.drawn++;
        });
    }

    /* The more there are, the fainter each is; those of clients most. */
    drawFrames() {
        const each = this.width / Math.max(1, this.inWindow);
        this.crowd = Math.min(1, 0.28 + each * 0.18);
        this.spans.frames.within(this.left, this.right(), (item) => {
            if (this.shown[item.from]) this.drawFrame(item, false);
        });
    }

    drawFrame(item, strong) {
        const { context, theme, life } = this;
        const line = this.frameLine(item);
        if (!line) return;
        const i = item.from;
        const held = life.isHeld(i);
        const lost = !life.travels(i) && !held;
        const nobody = !lost && life.effect[i] >= 0 && life.kind[life.effect[i]] === K.ARRIVE && life.a[life.effect[i]] === 0;
        const color = theme.families[this.families[i]];
        context.strokeStyle = context.fillStyle = lost || nobody ? theme.lost : life.isDamaged(i) ? theme.damaged : color;
        context.lineWidth = strong ? 2.6 : this.families[i] === FAMILY.heartbeats ? 0.8 : 1.2;
        context.globalAlpha = strong ? 1 : (this.families[i] === FAMILY.heartbeats ? 0.6 : lost ? 1 : 0.85) * this.crowd;
        context.setLineDash(life.isCopy(i) ? [2, 3] : life.isDelayed(i) || held ? [7, 3] : []);
        context.beginPath();
        context.moveTo(line.x1, line.y1);
        context.lineTo(line.x2, line.y2);
        context.stroke();
        context.setLineDash([]);
        if (lost || nobody) this.cross(line.x2, line.y2, 3.5);
        else if (life.effect[i] >= 0) this.head(line, strong ? 8 : 5.5);
        context.globalAlpha = 1;
        this.drawn++;
        if (this.scale * (this.byTime ? 1e4 : 1) > 26 && !this.byTime) this.frameLabel(item, line);
    }

    frameLabel(item, line) {
        const { context, theme, life } = this;
        context.font = "10px ui-sans-serif, system-ui, sans-serif";
        context.fillStyle = theme.families[this.families[item.from]];
        const down = line.y2 > line.y1;
        context.fillText(life.texts[life.c[item.from]], line.x1 + 5, line.y1 + (down ? 9 : -8));
    }

    head(line, size) {
        const { context } = this;
        const angle = Math.atan2(line.y2 - line.y1, line.x2 - line.x1);
        context.beginPath();
        context.moveTo(line.x2, line.y2);
        context.lineTo(line.x2 - size * Math.cos(angle - 0.4), line.y2 - size * Math.sin(angle - 0.4));
        context.lineTo(line.x2 - size * Math.cos(angle + 0.4), line.y2 - size * Math.sin(angle + 0.4));
        context.fill();
    }

    cross(x, y, size) {
        const { context } = this;
        context.lineWidth = 2;
        context.beginPath();
        context.moveTo(x - size, y - size);
        context.lineTo(x + size, y + size);
        context.moveTo(x + size, y - size);
        context.lineTo(x - size, y + size);
        context.stroke();
    }

    /* What has no length: steps, crashes, faults. */
    drawEvent(i) {
        const { context, theme, life } = this;
        const lane = this.lane.get(life.who[i]);
        const kind = life.kind[i];
        if (!lane || kind === K.SEND || kind === K.CALL || kind === K.RETURN || kind === K.DISK || kind === K.DISK_END) return;
        const x = this.x(i);
        this.drawn++;
        if (kind === K.STEP || kind === K.ARRIVE) {
            context.fillStyle = theme.step;
            const size = this.scale > 6 && !this.byTime ? 2.4 : 1.6;
            context.fillRect(x - size / 2, lane.axis - size, size, 2 * size);
            return;
        }
        if (kind === K.CUT || kind === K.CLOG || kind === K.MEND || kind === K.HEAL) return;
        context.fillStyle = context.strokeStyle = kind === K.START ? theme.done : kind === K.PAUSE ? theme.delayed : theme.lost;
        if (kind === K.CRASH || kind === K.STOP) {
            this.cross(x, lane.axis, 5);
        } else {
            context.beginPath();
            context.moveTo(x, lane.axis - 6);
            context.lineTo(x + 5, lane.axis + 4);
            context.lineTo(x - 5, lane.axis + 4);
            context.fill();
        }
        if (this.scale > 14 && !this.byTime && kind === K.FAULT)
            this.label(life.texts[life.c[i]], x + 7, lane.axis - 8, 120, theme.lost);
    }

    /* Too many for one each: how many there are, by pixel; what is rare is drawn all the same. */
    drawDensity(from, to) {
        const { context, theme, life } = this;
        const columns = Math.ceil(this.width / 2);
        const counts = new Map(this.lanes.map((endpoint) => [endpoint, new Uint16Array(columns)]));
        const lost = new Map(this.lanes.map((endpoint) => [endpoint, new Uint16Array(columns)]));
        const rare = [];
        for (let at = from; at < to; at++) {
            const i = this.list[at];
            const column = Math.floor(this.x(i) / 2);
            if (column < 0 || column >= columns) continue;
            const kind = life.kind[i];
            const count = counts.get(life.who[i]);
            if (kind === K.CRASH || kind === K.STOP || kind === K.VIOLATION) rare.push(i);
            if (count) count[column]++;
            if (count && kind === K.SEND && !life.travels(i)) lost.get(life.who[i])[column]++;
        }
        let most = 1;
        for (const count of counts.values()) for (const n of count) most = Math.max(most, n);
        for (const [endpoint, count] of counts) {
            const lane = this.lane.get(endpoint);
            const room = lane.height * (lane.node ? 0.5 : 0.8);
            const base = lane.top + lane.height - 2;
            for (let column = 0; column < columns; column++) {
                if (count[column] === 0) continue;
                const height = Math.max(1, room * Math.sqrt(count[column] / most));
                const red = room * Math.sqrt(lost.get(endpoint)[column] / most);
                context.fillStyle = theme.density;
                context.fillRect(column * 2, base - height, 2, height);
                context.fillStyle = theme.lost;
                if (red > 0) context.fillRect(column * 2, base - red, 2, red);
                this.drawn++;
            }
        }
        for (const i of rare.slice(0, 800)) this.drawEvent(i);
    }

    drawMatches(from, to) {
        if (this.matches.size === 0) return;
        const { context, theme, life } = this;
        context.fillStyle = theme.match;
        let last = -9;
        for (let at = from; at < to; at++) {
            const i = this.list[at];
            if (!this.matches.has(i)) continue;
            const x = this.x(i);
            const lane = this.lane.get(life.who[i]);
            if (this.detailed && lane) {
                context.beginPath();
                context.arc(x, lane.axis, 6, 0, 7);
                context.fill();
            } else if (x - last > 2) {
                context.fillRect(x, RULER - 6, 2, 5);
                last = x;
            }
        }
    }

    drawViolation() {
        const { context, theme, life } = this;
        if (life.violation < 0) return;
        const x = this.x(life.violation);
        if (x < -80 || x > this.width + 80) return;
        context.fillStyle = theme.lost;
        context.fillRect(x - 1.5, RULER, 3, this.bottom - RULER);
        context.globalAlpha = 0.1;
        context.fillRect(x - 20, RULER, 40, this.bottom - RULER);
        context.globalAlpha = 1;
        const text = "✕ " + life.texts[life.c[life.violation]];
        context.font = "600 12px ui-sans-serif, system-ui, sans-serif";
        const width = context.measureText(text).width + 16;
        const left = Math.min(x, this.width - width - 2);
        context.fillStyle = theme.lost;
        context.fillRect(left, 2, width, RULER - 4);
        context.fillStyle = "#fff";
        context.textBaseline = "middle";
        context.fillText(text, left + 8, RULER / 2 + 0.5);
    }

    /* The event, what led to it, and what came of it. */
    drawSelected() {
        const { context, theme, life } = this;
        const i = this.selected;
        if (i < 0) return;
        const x = this.x(i);
        if (x < -1e4 || x > 1e4) return;
        context.fillStyle = theme.accentSoft;
        context.fillRect(x - 0.75, RULER, 1.5, this.bottom - RULER);
        for (const other of [i, life.cause[i]])
            if (other >= 0 && life.kind[other] === K.SEND && this.lane.has(life.who[other]))
                this.drawFrame({ from: other, to: life.effect[other] >= 0 ? life.effect[other] : life.count - 1 }, true);
        const lane = this.lane.get(life.who[i]);
        if (!lane) return;
        context.strokeStyle = theme.accent;
        context.lineWidth = 2;
        context.beginPath();
        context.arc(x, this.markY(i, lane), 6, 0, 7);
        context.stroke();
    }
}
