/* Puts it together: keys, pointer, filters, search. */
"use strict";

class Application {
    constructor(life) {
        this.life = life;
        this.view = new Picture(element("canvas"), life);
        this.overview = new Overview(element("map"), this.view);
        this.panel = new Panel(this.view, (i) => this.select(i, true));
        this.dirty = false;
        this.found = [];
        this.searching = 0;
        this.readTheme();
        this.head();
        this.chips();
        this.listen();
        this.resize();
        this.start();
    }

    /* At the violation, if there is one: what led to it is to its left. */
    start() {
        const asked = /^#e(\d+)$/.exec(location.hash);
        this.view.fit();
        if (asked && Number(asked[1]) < this.life.count) {
            this.view.show(Number(asked[1]), 120, 0.5);
            this.select(Number(asked[1]), false);
        } else if (this.life.violation >= 0) {
            this.toViolation();
        } else if (this.life.count > 0 && this.life.count < 400) {
            this.select(0, false);
        }
        this.redraw();
    }

    toViolation() {
        this.view.show(this.life.violation, 110, 0.86);
        this.select(this.life.violation, false);
    }

    /* ---- drawing ---- */

    redraw() {
        if (this.dirty) return;
        this.dirty = true;
        requestAnimationFrame(() => {
            this.dirty = false;
            this.view.draw();
            this.overview.draw();
            element("hint").textContent = this.view.detailed ? ""
                : this.view.inWindow.toLocaleString("en") + " events: zoom in to see each frame";
        });
    }

    resize() {
        this.view.resize();
        this.view.clamp();
        this.overview.resize();
        this.labels();
        this.panel.drawRows();
        this.redraw();
    }

    readTheme() {
        const root = document.documentElement;
        const style = getComputedStyle(root);
        const color = (name) => style.getPropertyValue("--" + name).trim();
        const theme = { dark: root.dataset.theme === "dark" };
        for (const name of ["back", "line", "text", "faint", "step", "accent", "lost", "damaged", "delayed", "down", "disk", "density",
                            "done", "refused", "unknown", "match"])
            theme[name] = color(name);
        Object.assign(theme, { lostSoft: color("lost-soft"), delayedSoft: color("delayed-soft"), onBand: color("on-band"),
                               accentSoft: color("accent-soft") });
        theme.families = FAMILIES.map((family) => color({ disk: "disk", steps: "density", faults: "lost" }[family.id] || family.id));
        this.view.theme = theme;
    }

    /* ---- what stands around the picture ---- */

    head() {
        const { life } = this;
        const verdict = element("verdict");
        document.title = "Whitewater: " + life.title;
        element("title").textContent = life.title;
        element("facts").textContent = life.count.toLocaleString("en") + " events, "
            + (life.count > 0 ? life.step[life.count - 1] : 0).toLocaleString("en") + " steps, "
            + formatTime(life.count > 0 ? life.time[life.count - 1] : 0);
        verdict.textContent = life.violation >= 0 ? "✕ " + life.texts[life.c[life.violation]] : "no violation";
        verdict.className = life.violation >= 0 ? "bad" : "good";
        element("parameters").textContent = element("parameters-text").textContent.trim() || "none were drawn";
    }

    chips() {
        const colors = { disk: "--disk", steps: "--step", faults: "--lost" };
        element("families").replaceChildren(...FAMILIES.map((family, i) => {
            const button = document.createElement("button");
            button.type = "button";
            button.id = "family-" + family.id;
            button.textContent = family.label;
            button.style.setProperty("--chip", `var(${colors[family.id] || "--" + family.id})`);
            button.setAttribute("aria-pressed", "true");
            button.addEventListener("click", () => this.toggle(button, this.view.off, i));
            return button;
        }));
    }

    /* Names of lanes; those that are hidden stand at the bottom. */
    labels() {
        const { view, life } = this;
        let bottom = view.height - 2 - 21 * view.hidden.size; /* of those that are shown */
        const nodes = [];
        for (const endpoint of view.allLanes) {
            const lane = view.lane.get(endpoint);
            const button = document.createElement("button");
            button.type = "button";
            button.id = "lane-" + life.nameOf(endpoint);
            button.textContent = life.nameOf(endpoint);
            button.title = (life.isNode(endpoint) ? "id " + life.ids[endpoint] + ": " : "") + "hide or show";
            button.className = life.isNode(endpoint) ? "node" : "client";
            button.setAttribute("aria-pressed", String(!view.hidden.has(endpoint)));
            button.style.top = (lane ? lane.axis - (lane.node ? 10 : 8) : (bottom += 21) - 21) + "px";
            button.addEventListener("click", () => this.toggle(button, view.hidden, endpoint));
            nodes.push(button);
        }
        element("lanes").replaceChildren(...nodes);
    }

    toggle(button, set, what) {
        if (set.has(what)) set.delete(what);
        else set.add(what);
        button.setAttribute("aria-pressed", String(!set.has(what)));
        this.keepPlace(() => this.view.filter());
        this.labels();
        this.overview.render();
        this.panel.drawRows();
        this.redraw();
    }

    /* The event in the middle stays there when positions change. */
    keepPlace(change) {
        const { view } = this;
        const [from, to] = view.window();
        const middle = view.selected >= 0 && view.x(view.selected) > 0 && view.x(view.selected) < view.width ? view.selected
            : view.list[Math.min(view.list.length - 1, (from + to) >> 1)];
        const whole = view.scale <= view.scaleMin() * 1.05;
        const x = middle === undefined ? 0 : view.x(middle);
        change();
        if (whole || middle === undefined) view.fit();
        else view.left = view.position(middle) - x / view.scale;
        view.clamp();
    }

    axis(byTime) {
        const { view } = this;
        if (view.byTime === byTime) return;
        const [from, to] = view.window();
        const whole = view.scale <= view.scaleMin() * 1.05;
        const middle = view.selected >= 0 ? view.selected : view.list[(from + to) >> 1];
        view.byTime = byTime;
        view.place();
        if (whole || middle === undefined) view.fit();
        else view.show(middle, Math.max(20, to - from), 0.5);
        element("by-time").setAttribute("aria-pressed", String(byTime));
        element("by-order").setAttribute("aria-pressed", String(!byTime));
        this.overview.render();
        this.redraw();
    }

    /* ---- going about ---- */

    select(i, reveal) {
        if (i < 0 || i >= this.life.count) return;
        this.view.selected = i;
        if (reveal) this.view.reveal(i);
        this.panel.show(i);
        try {
            history.replaceState(null, "", "#e" + i);
        } catch (error) {
            /* some browsers do not let a file do that */
        }
        this.redraw();
    }

    /* The shown event before or behind. */
    move(by) {
        const { view, panel } = this;
        if (view.list.length === 0) return;
        let place = panel.place(view.selected);
        if (view.selected < 0) place = by > 0 ? view.window()[0] : view.window()[1] - 1;
        else if (by < 0 || view.list[place] === view.selected) place += by;
        this.select(view.list[Math.max(0, Math.min(view.list.length - 1, place))], true);
    }

    /* The step of the same node before or behind. */
    moveNode(by) {
        const { life, view } = this;
        const node = view.selected >= 0 && life.who[view.selected] < life.nodes ? life.who[view.selected] : 0;
        const place = life.lastStep(node, view.selected);
        const here = place >= 0 && life.stepsOf[node][place] === view.selected;
        const next = by > 0 ? place + 1 : here ? place - 1 : place;
        if (next >= 0 && next < life.stepsOf[node].length) this.select(life.stepsOf[node][next], true);
    }

    link(table) {
        const { view } = this;
        if (view.selected >= 0 && table[view.selected] >= 0) this.select(table[view.selected], true);
    }

    /* ---- search: all words must be there; done in slices, so that nothing stands still ---- */

    search(text) {
        const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
        const turn = ++this.searching;
        this.found = [];
        this.view.matches = new Set();
        let at = 0;
        const finish = () => {
            this.view.matches = new Set(this.found);
            element("found").textContent = words.length > 0 ? this.found.length.toLocaleString("en") + " found" : "";
            this.overview.render();
            this.panel.drawRows();
            this.redraw();
        };
        const slice = () => {
            if (turn !== this.searching) return;
            const until = performance.now() + 10;
            for (; at < this.life.count && performance.now() < until; at++)
                if (this.view.shown[at] && this.matches(at, words)) this.found.push(at);
            if (at < this.life.count) setTimeout(slice, 0);
            else finish();
            if (at < this.life.count) element("found").textContent = Math.round((at / this.life.count) * 100) + " %";
        };
        if (words.length === 0) finish();
        else slice();
    }

    matches(i, words) {
        const { life } = this;
        const line = (life.nameOf(life.who[i]) + " " + life.kinds[life.kind[i]] + " " + life.lineOf(i)).toLowerCase().replace(/=/g, " ");
        return words.every((word) => line.includes(word.replace(/=/g, " ")));
    }

    toMatch(by) {
        if (this.found.length === 0) return;
        const { selected } = this.view;
        let next = by > 0 ? this.found.findIndex((i) => i > selected) : this.found.findLastIndex((i) => i < selected);
        if (next < 0) next = by > 0 ? 0 : this.found.length - 1;
        element("found").textContent = next + 1 + " of " + this.found.length.toLocaleString("en");
        this.view.selected = this.found[next];
        if (!this.view.detailed) this.view.show(this.found[next], 120, 0.5);
        this.select(this.found[next], true);
    }

    /* ---- keys and pointer ---- */

    listen() {
        const click = (id, action) => element(id).addEventListener("click", action);
        click("by-order", () => this.axis(false));
        click("by-time", () => this.axis(true));
        click("zoom-in", () => this.zoom(1.6));
        click("zoom-out", () => this.zoom(1 / 1.6));
        click("fit", () => { this.view.fit(); this.redraw(); });
        click("back", () => this.move(-1));
        click("forth", () => this.move(1));
        click("back-node", () => this.moveNode(-1));
        click("forth-node", () => this.moveNode(1));
        click("verdict", () => { if (this.life.violation >= 0) this.toViolation(); });
        click("help", () => element("keys").showModal());
        click("theme", () => this.setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
        element("search").addEventListener("input", (event) => this.search(event.target.value));
        element("search").addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.toMatch(event.shiftKey ? -1 : 1);
            else if (event.key === "Escape") element("canvas").focus();
            else return;
            event.preventDefault();
            event.stopPropagation();
        });
        document.addEventListener("keydown", (event) => this.key(event));
        window.addEventListener("resize", () => this.resize());
        this.listenToPointer();
    }

    setTheme(name) {
        document.documentElement.dataset.theme = name;
        this.readTheme();
        this.overview.render();
        if (this.view.selected >= 0) this.panel.show(this.view.selected);
        this.redraw();
    }

    key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || element("keys").open || event.target.tagName === "INPUT") return;
        const { life, view } = this;
        const actions = {
            ArrowLeft: () => (event.shiftKey ? this.moveNode(-1) : this.move(-1)),
            ArrowRight: () => (event.shiftKey ? this.moveNode(1) : this.move(1)),
            Home: () => this.select(view.list[0], true),
            End: () => this.select(view.list[view.list.length - 1], true),
            "+": () => this.zoom(1.6),
            "=": () => this.zoom(1.6),
            "-": () => this.zoom(1 / 1.6),
            f: () => { view.fit(); this.redraw(); },
            m: () => this.axis(!view.byTime),
            v: () => { if (life.violation >= 0) this.toViolation(); },
            c: () => this.link(life.cause),
            e: () => this.link(life.effect),
            n: () => this.toMatch(1),
            N: () => this.toMatch(-1),
            "/": () => element("search").focus(),
            "?": () => element("keys").showModal(),
        };
        if (!actions[event.key]) return;
        event.preventDefault();
        actions[event.key]();
    }

    zoom(factor) {
        const x = this.view.selected >= 0 ? this.view.x(this.view.selected) : -1;
        this.view.zoom(factor, x >= 0 && x <= this.view.width ? x : this.view.width / 2);
        this.redraw();
    }

    listenToPointer() {
        const { view } = this;
        const canvas = element("canvas");
        let drag = null;
        canvas.addEventListener("wheel", (event) => {
            event.preventDefault();
            const across = event.shiftKey ? event.deltaY : event.deltaX;
            if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) view.pan(across);
            else view.zoom(Math.exp(-event.deltaY * 0.0022), event.offsetX);
            this.redraw();
        }, { passive: false });
        canvas.addEventListener("pointerdown", (event) => {
            drag = { x: event.offsetX, at: event.offsetX, moved: false };
            canvas.setPointerCapture(event.pointerId);
            canvas.classList.add("dragging");
        });
        canvas.addEventListener("pointermove", (event) => {
            if (!drag) return;
            drag.moved = drag.moved || Math.abs(event.offsetX - drag.x) > 3;
            if (drag.moved) view.pan(drag.at - event.offsetX);
            drag.at = event.offsetX;
            if (drag.moved) this.redraw();
        });
        canvas.addEventListener("pointerup", (event) => {
            canvas.classList.remove("dragging");
            if (drag && !drag.moved) this.select(view.hit(event.offsetX, event.offsetY), false);
            drag = null;
        });
        canvas.addEventListener("dblclick", (event) => {
            view.zoom(4, event.offsetX);
            this.redraw();
        });
        const map = element("map");
        const move = (event) => {
            if (event.buttons === 0) return;
            this.overview.move(event.offsetX);
            this.redraw();
        };
        map.addEventListener("pointerdown", (event) => {
            map.setPointerCapture(event.pointerId);
            move(event);
        });
        map.addEventListener("pointermove", move);
    }
}

document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
/* For tests, and for whoever opens the console. */
window.whitewater = new Application(new Life(JSON.parse(element("data").textContent)));
