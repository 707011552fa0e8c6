/* The overview: all of the life in a strip, drawn once; the window is a frame on it. */
"use strict";

class Overview {
    constructor(canvas, view) {
        this.canvas = canvas;
        this.view = view;
        this.picture = document.createElement("canvas");
    }

    resize() {
        const ratio = window.devicePixelRatio || 1;
        this.width = this.canvas.clientWidth;
        this.height = this.canvas.clientHeight;
        for (const canvas of [this.canvas, this.picture]) {
            canvas.width = Math.max(1, Math.round(this.width * ratio));
            canvas.height = Math.max(1, Math.round(this.height * ratio));
            canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
        }
        this.render();
    }

    scale() { return (this.width - 8) / (this.view.last - this.view.first); }
    x(i) { return 4 + (this.view.position(i) - this.view.first) * this.scale(); }

    /* Bands of the nodes, how much happened, and what is rare. */
    render() {
        const { view } = this;
        const { life, theme } = view;
        const context = this.picture.getContext("2d");
        context.clearRect(0, 0, this.width, this.height);
        const row = Math.min(7, (this.height - 34) / life.nodes);
        for (let node = 0; node < life.nodes; node++)
            for (const band of view.bands[node]) {
                if (band.role < 0 || band.role === ROLE.STARTING) continue;
                const leader = band.role === ROLE.LEADER;
                context.fillStyle = termColor(band.term, theme, leader ? 1 : 0.32);
                const x = this.x(band.from);
                context.fillRect(x, 5 + node * row, Math.max(0.6, this.x(band.to) - x), row - 1.5);
            }
        this.renderDensity(context);
        for (let i = 0; i < life.count; i++) {
            const kind = life.kind[i];
            const bad = kind === K.CRASH || kind === K.STOP;
            if (!bad && !view.matches.has(i)) continue;
            context.fillStyle = bad ? theme.lost : "#e0a800";
            context.fillRect(this.x(i), bad ? 5 + life.who[i] * row : this.height - 22, 1.5, bad ? row - 1.5 : 20);
        }
        context.fillStyle = theme.lost;
        if (life.violation >= 0) context.fillRect(this.x(life.violation) - 1.5, 0, 3, this.height);
    }

    /* How much of what: by family, stacked; evenly, what there is at each place; by time, how much at all. */
    renderDensity(context) {
        const { view } = this;
        const kinds = FAMILIES.length;
        const columns = Math.ceil(this.width) + 1;
        const counts = new Uint32Array(columns * kinds);
        const sums = new Uint32Array(columns);
        let most = 1;
        for (const i of view.list) {
            const column = Math.round(this.x(i));
            counts[column * kinds + view.families[i]]++;
            most = Math.max(most, ++sums[column]);
        }
        for (let x = 0; x < columns; x++) {
            if (sums[x] === 0) continue;
            const height = 24 * Math.sqrt(sums[x] / most);
            let y = this.height - 2;
            for (let family = 0; family < kinds; family++) {
                const part = (height * counts[x * kinds + family]) / sums[x];
                if (part === 0) continue;
                context.fillStyle = view.theme.families[family];
                context.fillRect(x, y - part, 1, part);
                y -= part;
            }
        }
    }

    draw() {
        const { view } = this;
        const context = this.canvas.getContext("2d");
        context.clearRect(0, 0, this.width, this.height);
        context.drawImage(this.picture, 0, 0, this.width, this.height);
        const left = 4 + (view.left - view.first) * this.scale();
        const width = Math.max(3, (view.width / view.scale) * this.scale());
        context.fillStyle = view.theme.accent;
        context.globalAlpha = 0.14;
        context.fillRect(left, 1, width, this.height - 2);
        context.globalAlpha = 1;
        context.strokeStyle = view.theme.accent;
        context.lineWidth = 1.5;
        context.strokeRect(left, 1, width, this.height - 2);
    }

    /* The window's middle goes to the pointer. */
    move(x) {
        this.view.left = this.view.first + (x - 4) / this.scale() - this.view.width / this.view.scale / 2;
        this.view.clamp();
    }
}
