'use strict';
/* The timeline: lines in lanes, one above the other, over their waveforms: original and dub, or an episode's sound and
   its speakers. Drawn on a canvas, so that thousands of
   lines stay smooth; everything it shows is also in the list of lines. Times are seconds. */
const CHAPTER = 20; // px, for the titles of chapters
const NARROW = 4; // px: a block below this is a mere mark
const COARSE = 32; // peaks in one of the coarse waveform

class Timeline {
  constructor(canvas, whole, hint, events) {
    Object.assign(this, { canvas, whole, hint, events });
    this.view = { from: 0, to: 1 };
    this.head = 0;
    this.selected = -1;
    this.lines = [];
    this.pointers = new Map();
    this.theme();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { this.theme(); this.draw(); });
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    this.colour = {};
    for (const name of ['paper', 'card', 'ink', 'soft', 'line', 'accent', 'original', 'dub', 'review', 'failed', 'wave', 'speaker'])
      this.colour[name] = style.getPropertyValue('--' + name).trim();
    this.colour.passed = this.colour.dub;
    this.font = getComputedStyle(document.body).fontFamily;
  }

  /* A lane: { name: what is heard there, of(line): [from, to], text(line), sound?: { peaks: Uint8Array, perS }, tone?: a
     colour's name, or hue(line), where a line that passed has one of its own; tall?: px, else they share what is left }.
     The last but lanes without sound is drawn as the whole. Chapters: { s, title }. */
  show(duration, lanes, lines, chapters) {
    Object.assign(this, { duration, lanes, lines, chapters });
    this.selected = -1;
    const span = Math.min(duration, Math.max(12, this.canvas.clientWidth / 30)); // wide enough to read first words
    if (this.view.to <= 1 || this.view.to > duration) this.view = { from: 0, to: span };
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); this.paintWhole(); });
  }

  x(time) { return (time - this.view.from) / (this.view.to - this.view.from) * this.width; }
  time(x) { return this.view.from + x / this.width * (this.view.to - this.view.from); }

  context(canvas) {
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const g = canvas.getContext('2d');
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    return { g, width, height };
  }

  paint() {
    const { g, width, height } = this.context(this.canvas);
    this.width = width;
    if (!width || !this.lines) return;
    const top = 22 + (this.chapters.length ? CHAPTER : 0), gap = this.lanes.length > 2 ? 4 : 10;
    const given = this.lanes.filter((lane) => lane.tall), shared = this.lanes.length - given.length;
    const left = height - top - 8 - gap * (this.lanes.length - 1) - given.reduce((sum, lane) => sum + lane.tall, 0);
    let y = top;
    for (const lane of this.lanes) {
      Object.assign(lane, { y, height: lane.tall || left / shared });
      y += lane.height + gap;
    }
    this.ruler(g, width, height);
    this.heads(g, width, height);
    const seen = [];
    this.lines.forEach((line, at) => {
      const first = Math.min(line.s, line.ps ?? line.s), last = Math.max(line.e, line.pe ?? line.e);
      if (last >= this.view.from && first <= this.view.to) seen.push([line, at]);
    });
    for (const lane of this.lanes) {
      this.drawn = '';
      for (const [line, at] of seen) this.block(g, lane, line, at);
      this.wave(g, lane.sound, 0, width, lane.y + 17, lane.height - 18, this.view.from, this.view.to, this.colour.wave);
      for (const [line, at] of seen) this.ink(g, lane, line, at);
    }
    if (this.lanes[0].name === 'original') for (const [line] of seen) this.link(g, line);
    const x = this.x(this.head);
    g.fillStyle = this.colour.ink;
    g.fillRect(x - .75, 14, 1.5, height - 20);
    g.beginPath(); g.arc(x, 14, 4, 0, 7); g.fill();
  }

  ruler(g, width, height) {
    const span = this.view.to - this.view.from;
    const steps = [.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const step = steps.find((s) => s / span * width >= 74) || 7200;
    g.font = '11px ' + this.font;
    g.textBaseline = 'alphabetic';
    for (let n = Math.ceil(this.view.from / step); n * step <= this.view.to; n++) {
      const x = this.x(n * step);
      g.fillStyle = this.colour.line;
      g.fillRect(x, 4, 1, height);
      g.fillStyle = this.colour.soft;
      g.fillText(clock(n * step, step < 1), x + 4, 14);
    }
  }

  /* Where chapters begin, and their titles; the title of the one that goes on stays in sight. */
  heads(g, width, height) {
    this.chapters.forEach((chapter, n) => {
      const from = this.x(chapter.s), to = this.x(this.chapters[n + 1]?.s ?? this.duration);
      if (to < 0 || from > width) return;
      g.fillStyle = this.colour.accent;
      g.fillRect(from, 20, 1.5, height);
      const left = Math.max(0, from), room = Math.min(width, to) - left - 10;
      if (room < 20) return;
      g.save();
      g.beginPath(); g.rect(left, 20, room + 6, CHAPTER); g.clip();
      g.font = '600 11.5px ' + this.font;
      g.fillText(chapter.title, left + 6, 34);
      g.restore();
    });
  }

  tone(lane, line) {
    if (lane.tone) return this.colour[lane.tone];
    if (lane.hue && line.verdict === 'passed') return `hsl(${lane.hue(line)} 46% ${this.colour.speaker})`;
    return this.colour[line.verdict];
  }

  box(lane, line) {
    const [from, to] = lane.of(line);
    if (from == null) return null;
    const x = this.x(from);
    return { x, w: Math.max(1.5, this.x(to) - x) };
  }

  block(g, lane, line, at) {
    const box = this.box(lane, line);
    if (!box) return;
    const tone = this.tone(lane, line);
    g.globalAlpha = at === this.selected ? .42 : at === this.over ? .32 : lane.sound || box.w >= NARROW ? .18 : .6; // what has no wave is seen from afar, too
    g.fillStyle = tone;
    if (box.w < NARROW) {
      const drawn = Math.round(box.x) + tone; // of many lines in one pixel one is enough
      if (drawn !== this.drawn || at === this.selected) g.fillRect(Math.round(box.x), lane.y, Math.ceil(box.w), lane.height);
      this.drawn = drawn;
      g.globalAlpha = 1;
      return;
    }
    g.beginPath();
    g.roundRect(box.x, lane.y, box.w, lane.height, Math.min(5, box.w / 3));
    g.fill();
    g.globalAlpha = 1;
  }

  /* The part of the waveform that is speech in the block's own colour, and its first words. */
  ink(g, lane, line, at) {
    const box = this.box(lane, line);
    if (!box || box.w < NARROW) return;
    const left = Math.max(0, box.x), right = Math.min(this.width, box.x + box.w);
    if (right <= left) return;
    const tone = this.tone(lane, line);
    this.wave(g, lane.sound, left, right, lane.y + 17, lane.height - 18, this.time(left), this.time(right), tone);
    g.fillStyle = tone;
    g.fillRect(box.x, lane.y, box.w, at === this.selected ? 4 : 2.5);
    if (right - left < 44) return;
    g.save();
    g.beginPath(); g.rect(left, lane.y, right - left - 4, 20); g.clip();
    g.fillStyle = this.colour.ink;
    g.font = (at === this.selected ? '600 ' : '') + '12px ' + this.font;
    g.textBaseline = 'top';
    g.fillText(lane.text(line).slice(0, 160), left + 5, lane.y + 5);
    g.restore();
  }

  link(g, line) {
    if (line.ps == null || this.x(line.e) - this.x(line.s) < 6) return;
    const [a, b] = this.lanes;
    g.strokeStyle = Math.abs(line.ps - line.s) > .12 ? this.colour.review : this.colour.soft;
    g.globalAlpha = .7;
    g.beginPath();
    g.moveTo(this.x(line.s) + .5, a.y + a.height);
    g.lineTo(this.x(line.ps) + .5, b.y);
    g.stroke();
    g.globalAlpha = 1;
  }

  wave(g, sound, left, right, y, tall, from, to, colour) {
    if (!sound?.peaks.length) return;
    sound.coarse ??= coarse(sound);
    const far = (to - from) / (right - left) * sound.perS > 4 * COARSE;
    const { peaks, perS } = far ? sound.coarse : sound;
    const middle = y + tall / 2, each = (to - from) / (right - left) * perS;
    g.fillStyle = colour;
    g.beginPath();
    for (let x = Math.floor(left); x < right; x++) {
      const first = Math.max(0, Math.floor((from * perS) + (x - left) * each));
      const last = Math.min(peaks.length, Math.max(first + 1, Math.floor(from * perS + (x + 1 - left) * each)));
      let most = 0;
      for (let n = first; n < last; n++) if (peaks[n] > most) most = peaks[n];
      const half = Math.max(.5, Math.pow(most / 255, 1.5) * tall / 2);
      g.rect(x, middle - half, 1, 2 * half);
    }
    g.fill();
  }

  paintWhole() {
    const { g, width, height } = this.context(this.whole);
    if (!width || !this.duration) return;
    const at = (time) => time / this.duration * width;
    const same = [this.lines, this.colour, this.whole.width, this.whole.height];
    if (!this.ground || same.some((part, n) => part !== this.ground.same[n])) {
      this.wave(g, this.lanes.findLast((lane) => lane.sound).sound, 0, width, 2, height - 9, 0, this.duration, this.colour.wave);
      for (const line of this.lines) {
        if (line.verdict === 'passed') continue;
        g.fillStyle = this.colour[line.verdict];
        g.fillRect(at(line.ps ?? line.s), height - 6, Math.max(2, at(line.e - line.s)), 6);
      }
      g.fillStyle = this.colour.accent;
      for (const chapter of this.chapters) g.fillRect(at(chapter.s), 0, 1.5, height);
      const kept = document.createElement('canvas');
      [kept.width, kept.height] = [this.whole.width, this.whole.height];
      kept.getContext('2d').drawImage(this.whole, 0, 0);
      this.ground = { kept, same };
    } else g.drawImage(this.ground.kept, 0, 0, width, height);
    g.fillStyle = this.colour.ink;
    g.globalAlpha = .12;
    const left = at(this.view.from), right = at(this.view.to);
    g.fillRect(left, 0, right - left, height);
    g.globalAlpha = .6;
    g.strokeStyle = this.colour.ink;
    g.strokeRect(left + .5, .5, Math.max(3, right - left - 1), height - 1);
    g.globalAlpha = 1;
    g.fillRect(at(this.head), 0, 1.5, height);
  }

  zoom(factor, around = (this.view.from + this.view.to) / 2) {
    const span = this.view.to - this.view.from;
    const wanted = Math.min(this.duration, Math.max(.5, span * factor));
    this.look(around - (around - this.view.from) / span * wanted, wanted);
  }

  look(from, span = this.view.to - this.view.from) {
    span = Math.min(span, this.duration);
    from = Math.min(Math.max(0, from), this.duration - span);
    this.view = { from, to: from + span };
    this.draw();
  }

  bring(from, to) {
    const span = this.view.to - this.view.from;
    if (from >= this.view.from && to <= this.view.to) return;
    this.look(from - span * .15, Math.max(span, (to - from) * 1.4));
  }

  select(at) {
    this.selected = at;
    const line = this.lines[at];
    if (line) this.bring(Math.min(line.s, line.ps ?? line.s), Math.max(line.e, line.pe ?? line.e));
    this.draw();
  }

  move(head, follow) {
    this.head = head;
    if (follow && (head > this.view.to || head < this.view.from))
      this.look(head - (this.view.to - this.view.from) * .08);
    this.draw();
  }

  /* What lies under a point: lane, time and line (-1: none). */
  under(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const x = event.clientX - bounds.left, y = event.clientY - bounds.top;
    const lane = this.lanes.find((l) => y >= l.y && y <= l.y + l.height) || null;
    let found = -1;
    if (lane) this.lines.forEach((line, at) => {
      const box = this.box(lane, line);
      if (box && x >= box.x - 1.5 && x <= box.x + box.w + 1.5) found = at;
    });
    const time = Math.min(this.duration, Math.max(0, this.time(x)));
    const chapter = y > 20 && y < this.lanes[0].y && this.chapters.findLast(({ s }) => s <= time);
    return { x, y, lane: lane?.name, time: chapter ? chapter.s : time, found };
  }

  listen() {
    const { canvas, whole, pointers } = this;
    let began = null, apart = 0;
    canvas.addEventListener('pointerdown', (event) => {
      pointers.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
      began = { x: event.clientX, from: this.view.from, moved: false };
      apart = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!pointers.has(event.pointerId)) return event.pointerType === 'mouse' ? this.tell(this.under(event)) : undefined;
      pointers.set(event.pointerId, event);
      const [a, b] = [...pointers.values()];
      if (b) {
        const now = Math.abs(a.clientX - b.clientX) + 1, left = canvas.getBoundingClientRect().left;
        if (apart) this.zoom(apart / now, this.time((a.clientX + b.clientX) / 2 - left));
        apart = now;
        began.moved = true;
      } else if (began.moved || Math.abs(event.clientX - began.x) > 4) {
        began.moved = true;
        this.tell(null);
        this.look(began.from - (event.clientX - began.x) / this.width * (this.view.to - this.view.from));
      }
      return undefined;
    });
    const up = (event) => {
      if (!pointers.delete(event.pointerId) || event.type === 'pointercancel' || began.moved) return;
      const { lane, time, found } = this.under(event);
      if (found >= 0) this.events.line(found, lane);
      else this.events.time(time, lane);
    };
    canvas.addEventListener('pointerup', up);
    canvas.addEventListener('pointercancel', up);
    canvas.addEventListener('pointerleave', () => this.tell(null));
    canvas.addEventListener('wheel', (event) => {
      const across = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
      if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(event.deltaY / 240), this.under(event).time);
      else if (across) this.look(this.view.from + across / this.width * (this.view.to - this.view.from));
      else return; // the page scrolls
      event.preventDefault();
    }, { passive: false });
    canvas.addEventListener('keydown', (event) => {
      const span = this.view.to - this.view.from;
      const keys = {
        ArrowLeft: () => this.look(this.view.from - span / 5), ArrowRight: () => this.look(this.view.from + span / 5),
        Home: () => this.look(0), End: () => this.look(this.duration),
        '+': () => this.zoom(.6), '=': () => this.zoom(.6), '-': () => this.zoom(1 / .6), 0: () => this.zoom(1e9),
        Enter: () => this.events.time(this.head < this.view.from || this.head > this.view.to ? this.view.from : this.head),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    const centre = (event) => {
      if (event.type === 'pointermove' && !event.buttons) return;
      if (event.type === 'pointerdown') whole.setPointerCapture(event.pointerId);
      const bounds = whole.getBoundingClientRect();
      const time = (event.clientX - bounds.left) / bounds.width * this.duration;
      this.look(time - (this.view.to - this.view.from) / 2);
    };
    whole.addEventListener('pointerdown', centre);
    whole.addEventListener('pointermove', centre);
  }

  /* The hint beside the pointer. */
  tell(under) {
    const at = under ? under.found : -1;
    if (at !== this.over) { this.over = at; this.draw(); }
    this.hint.hidden = at < 0;
    if (at < 0) return;
    if (this.told !== at) {
      const line = this.lines[at];
      const head = document.createElement('b');
      head.textContent = [line.id, line.who, clock(line.s, true), line.stretch > 1.005 ? line.stretch.toFixed(2) + '×' : '']
        .filter(Boolean).join(' · ');
      const texts = [line.src, line.txt].filter(Boolean).map((text) => {
        const p = document.createElement('p');
        p.dir = 'auto';
        p.textContent = text;
        return p;
      });
      this.hint.replaceChildren(head, ...texts);
      this.told = at;
    }
    const room = this.canvas.clientWidth - this.hint.offsetWidth - 8;
    this.hint.style.left = Math.max(8, Math.min(under.x + 14, room)) + 'px';
    this.hint.style.top = (under.y > 100 ? under.y - this.hint.offsetHeight - 12 : under.y + 16) + 'px';
  }
}

function coarse({ peaks, perS }) {
  const made = new Uint8Array(Math.ceil(peaks.length / COARSE));
  peaks.forEach((peak, n) => { if (peak > made[n / COARSE | 0]) made[n / COARSE | 0] = peak; });
  return { peaks: made, perS: perS / COARSE };
}

/* 3725.4 → 1:02:05 or 1:02:05.4 */
function clock(time, tenths) {
  const whole = Math.max(0, tenths ? Math.round(time * 10) / 10 : Math.floor(time));
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const rest = tenths ? (whole % 60).toFixed(1).padStart(4, '0') : String(Math.floor(whole % 60)).padStart(2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}
