/* The list of lines, the player, and how they go together with the timeline. Texts of scripts are data: they only ever
   become text nodes. */
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const peaks = (track) => ({ perS: track.perS, peaks: Uint8Array.from(atob(track.peaks), (c) => c.charCodeAt(0)) });
  const original = data.original && peaks(data.original);
  const worse = { failed: 2, review: 1, passed: 0 };
  const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

  let language = null; // the shown one: tag, lines, rows, dub, audio
  let hear = data.sounds.at(-1);
  let selected = -1;
  let playing = null; // { audio, until, button }
  const made = { span: (line) => [line.ps, line.pe], text: (line) => line.txt, language: () => language.tag, audio: () => language.audio };
  const SOUNDS = { // what can be heard: a dub beside its original, or an episode alone
    original: { title: 'Original', of: 'original of ', key: 'o', span: (line) => [line.s, line.e], text: (line) => line.src,
      language: () => data.language, audio: () => $('sound-original') },
    dub: { title: 'Dub', of: 'dub of ', key: 'd', ...made },
    episode: { title: 'Play', of: '', key: 'p', ...made },
  };
  let show = 'all', order = 'time';
  const languages = new Map();

  const timeline = new Timeline($('timeline'), $('whole'), $('hint'), {
    line: (at, lane) => { select(at); playLine(at, lane); },
    time: (time, lane) => play(lane || hear, time, Infinity),
  });

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== null && child !== ''));
    return made;
  }

  /* ---- lines ---- */

  const HUES = [212, 282, 168, 322, 48, 190, 250, 100]; // no red: that is for what failed
  const hue = (name) => HUES[data.speakers.indexOf(name) % HUES.length];

  function hearButton(at, lane, line) {
    const button = element('button', { className: 'hear', type: 'button', title: SOUNDS[lane].title });
    button.append($('play').firstElementChild.cloneNode(true));
    button.setAttribute('aria-label', `Play ${SOUNDS[lane].of}line ${line.id}`);
    button.addEventListener('click', () => { select(at); playing?.button === button ? pause() : playLine(at, lane); });
    return button;
  }

  function said(at, lane, line) {
    const text = element('p', { textContent: SOUNDS[lane].text(line), lang: SOUNDS[lane].language(), dir: 'auto' });
    const heard = SOUNDS[lane].span(line)[0] !== null;
    return element('div', { className: 'said ' + lane }, heard ? hearButton(at, lane, line) : element('span'), text);
  }

  function fit(line) {
    const first = element('div', {}, element('span', { className: 'chip ' + line.verdict, textContent: line.verdict }));
    const made = element('div', { className: 'fit' }, first);
    if (line.ps === null) return made;
    if (line.stretch) first.append(speed(line));
    const more = [
      ...(line.facts || [arrival(line)]),
      line.takes > 1 ? `${line.takes} takes` : '',
      line.heard === null ? '' : `${line.heard} % understood`,
      line.lost ? `${line.lost} ms lost` : '',
    ];
    made.append(element('div', { className: 'more', textContent: more.filter(Boolean).join(' · ') }));
    return made;
  }

  function speed(line) {
    const meter = element('span', { className: 'meter' + (line.stretch > data.easy ? ' review' : ''), title: 'speed' });
    const bar = element('i');
    bar.style.setProperty('--fill', Math.min(100, Math.max(4, (line.stretch - .9) / .45 * 100)) + '%');
    meter.append(line.stretch.toFixed(2) + '×', bar);
    return meter;
  }

  function arrival(line) {
    const late = Math.round((line.ps - line.s) * 1000);
    return Math.abs(late) < 10 ? 'on time' : `${Math.abs(late)} ms ${late > 0 ? 'late' : 'early'}`;
  }

  function rowOf(at) {
    if (language.rows[at]) return language.rows[at];
    const line = language.lines[at];
    const row = element('li', { className: 'row ' + line.verdict });
    const name = element('span', { className: 'name', textContent: line.who, dir: 'auto' });
    name.style.setProperty('--hue', hue(line.who));
    row.append(
      element('div', { className: 'who' }, element('span', { className: 'id', textContent: line.id }),
        element('time', { textContent: `${clock(line.s, true)} – ${clock(line.e, true)}` }), line.who ? name : ''),
      ...data.sounds.map((lane) => said(at, lane, line)), fit(line));
    const why = [
      ...line.reasons.map((text) => element('li', { className: 'reason', textContent: text })),
      ...line.notes.map((text) => element('li', { textContent: text })),
    ];
    if (why.length) row.append(element('ul', { className: 'why' }, ...why));
    row.addEventListener('click', (event) => { if (!event.target.closest('button')) select(at); });
    return language.rows[at] = row;
  }

  function matching() {
    const words = plain($('find').value).split(/\s+/).filter(Boolean), speaker = $('speaker').value;
    return language.lines.map((_, at) => at).filter((at) => {
      const line = language.lines[at];
      if (show === 'review' ? line.verdict === 'passed' : show === 'failed' && line.verdict !== 'failed') return false;
      if (speaker && line.who !== speaker) return false;
      line.words ??= plain([line.id, line.who, ...data.sounds.map((lane) => SOUNDS[lane].text(line)), ...line.reasons, ...line.notes].join(' '));
      return words.every((word) => line.words.includes(word));
    });
  }

  let arranging = 0;
  function arrange() {
    const mine = ++arranging, found = matching();
    if (order === 'worst') found.sort((a, b) => language.lines[b].worst - language.lines[a].worst || a - b);
    $('list').replaceChildren();
    $('none').hidden = found.length > 0;
    $('shown').textContent = `${found.length} of ${language.lines.length} lines`;
    language.found = found;
    let next = 0;
    (function more() { // a screen at once, the rest while nobody waits for it
      if (mine !== arranging) return;
      const part = document.createDocumentFragment();
      for (const end = Math.min(found.length, next + (next ? 200 : 40)); next < end; next++) {
        const chapter = order === 'time' && chapterAt.get(found[next]);
        if (chapter) part.append(element('li', { className: 'chapter', textContent: chapter.title, dir: 'auto' }));
        part.append(rowOf(found[next]));
      }
      $('list').append(part);
      if (next < found.length) setTimeout(more);
    })();
  }

  function select(at, scroll) {
    language.rows[selected]?.removeAttribute('aria-current');
    selected = at;
    if (at < 0) return;
    const row = rowOf(at);
    row.setAttribute('aria-current', 'true');
    if (scroll && row.isConnected) row.scrollIntoView({ block: 'nearest' });
    timeline.select(at);
  }

  function step(by) {
    const place = language.found.indexOf(selected);
    const next = place < 0 ? 0 : Math.min(language.found.length - 1, Math.max(0, place + by));
    if (language.found.length) select(language.found[next], true);
  }

  /* ---- player ---- */

  const audioOf = (lane) => SOUNDS[lane].audio();
  const spanOf = (line, lane) => SOUNDS[lane].span(line);

  function playLine(at, lane) {
    const line = language.lines[at];
    const [from, until] = spanOf(line, lane);
    if (from === null) return;
    const button = language.rows[at]?.querySelector(`.${lane} .hear`);
    play(lane, Math.max(0, from - .03), until + .06, button);
  }

  async function play(lane, from, until, button = null) {
    pause();
    setHear(lane);
    const audio = audioOf(lane);
    const mine = playing = { audio, until, button };
    button?.classList.add('playing');
    $('play').classList.add('playing');
    $('play').setAttribute('aria-label', 'Pause');
    try {
      if (audio.readyState < 1) {
        await new Promise((ready, failed) => {
          audio.addEventListener('loadedmetadata', ready, { once: true });
          audio.addEventListener('error', () => failed(audio.error), { once: true });
          audio.preload = 'auto';
          audio.load();
        });
      }
      if (playing !== mine) return;
      if (from !== null) audio.currentTime = from;
      await audio.play();
      requestAnimationFrame(follow);
    } catch (error) {
      if (playing !== mine) return;
      pause();
      $('said').textContent = `This sound cannot be played here (${error?.message || 'no file'}).`;
    }
  }

  function pause() {
    if (!playing) return;
    const { audio, button } = playing;
    playing = null;
    audio.pause();
    button?.classList.remove('playing');
    $('play').classList.remove('playing');
    $('play').setAttribute('aria-label', 'Play');
  }

  function follow() {
    if (!playing) return;
    const { audio, until } = playing;
    if (audio.currentTime >= until || audio.ended) pause();
    at(audio.currentTime, true);
    if (playing) requestAnimationFrame(follow);
  }

  let saying = null;
  function at(time, moving) {
    timeline.move(time, moving);
    $('clock').textContent = clock(time, true);
    const now = language.lines.find((line) => {
      const [from, until] = spanOf(line, hear);
      return from !== null && time >= from - .04 && time < until;
    });
    if (now !== saying) {
      saying = now;
      $('said').textContent = now ? SOUNDS[hear].text(now) : '';
    }
  }

  function setHear(lane) {
    hear = lane;
    saying = null;
    for (const button of all('[data-hear]')) button.setAttribute('aria-pressed', String(button.dataset.hear === lane));
  }

  function swap(lane) {
    if (lane === hear) return;
    const was = playing, time = audioOf(hear).currentTime;
    setHear(lane);
    if (was) {
      const line = language.lines[selected];
      play(lane, time, was.until === Infinity || !line ? Infinity : (spanOf(line, lane)[1] ?? time) + .06);
    } else at(timeline.head, false);
  }

  function toggle() {
    if (playing) pause();
    else play(hear, Math.min(timeline.head, data.duration - .05), Infinity);
  }

  /* ---- languages, tools, keys ---- */

  function speak(tag) {
    pause();
    if (!languages.has(tag)) {
      const given = data.languages[tag];
      for (const line of given.lines) {
        const late = line.ps === null ? 0 : Math.abs(line.ps - line.s);
        line.worst = worse[line.verdict] * 1e4 + line.lost * 10 + line.reasons.length * 100 + ((line.stretch || 1) - 1) * 100 + late * 10;
      }
      const audio = document.querySelector(`[data-sound="${CSS.escape(tag)}"]`);
      audio.addEventListener('timeupdate', stopInBackground);
      languages.set(tag, { tag, lines: given.lines, rows: [], sound: peaks(given), audio });
    }
    language = languages.get(tag);
    selected = -1;
    for (const part of all('[data-for]')) part.hidden = part.dataset.for !== tag;
    for (const tab of all('[data-language]')) {
      tab.setAttribute('aria-selected', String(tab.dataset.language === tag));
      tab.tabIndex = tab.dataset.language === tag ? 0 : -1;
    }
    const count = (test) => language.lines.filter(test).length;
    const counts = { all: language.lines.length, review: count((l) => l.verdict !== 'passed'), failed: count((l) => l.verdict === 'failed') };
    for (const button of all('[data-show]')) button.querySelector('span').textContent = counts[button.dataset.show];
    timeline.show(data.duration, lanes(), language.lines, data.chapters || []);
    arrange();
  }

  const ROWS_MOST = 6; // of speakers; with more of them the timeline says who speaks in its text
  function lanes() {
    const { sound } = language;
    if (original) {
      return [
        { name: 'original', sound: original, of: (l) => [l.s, l.e], text: (l) => l.src, tone: 'original' },
        { name: 'dub', sound, of: (l) => l.ps === null && l.verdict === 'failed' ? [l.s, l.e] : [l.ps, l.pe], text: (l) => l.txt },
      ];
    }
    const own = { name: 'episode', of: (l) => [l.ps, l.pe], hue: (l) => hue(l.who) };
    if (data.speakers.length > ROWS_MOST) return [{ ...own, sound, text: (l) => `${l.who}: ${l.txt}` }];
    $('timeline').style.height = 160 + 28 * data.speakers.length + 'px';
    return [{ ...own, sound, text: () => '' }, ...data.speakers.map((who) => (
      { ...own, tall: 24, text: (l) => l.txt, of: (l) => l.who === who ? own.of(l) : [null] }))];
  }

  function stopInBackground() { // animation frames stand still in a hidden tab
    if (playing && this === playing.audio && this.currentTime >= playing.until) pause();
  }

  function choose(button, group) {
    for (const other of all(`[data-${group}]`)) other.setAttribute('aria-pressed', String(other === button));
    return button.dataset[group];
  }

  $('sound-original')?.addEventListener('timeupdate', stopInBackground);
  for (const button of all('[data-show]')) button.addEventListener('click', () => { show = choose(button, 'show'); arrange(); });
  for (const button of all('[data-order]')) button.addEventListener('click', () => { order = choose(button, 'order'); arrange(); });
  for (const button of all('[data-hear]')) button.addEventListener('click', () => swap(button.dataset.hear));
  const tabs = all('[data-language]');
  tabs.forEach((tab, n) => {
    tab.addEventListener('click', () => speak(tab.dataset.language));
    tab.addEventListener('keydown', (event) => {
      const to = { ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      next.focus();
      speak(next.dataset.language);
    });
  });
  for (const name of data.speakers.filter(Boolean)) $('speaker').append(element('option', { value: name, textContent: name }));
  $('speaker').closest('label').hidden = data.speakers.filter(Boolean).length < 2;
  $('speaker').addEventListener('change', arrange);
  let typed = 0;
  $('find').addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(arrange, 120); });
  $('clear').addEventListener('click', () => {
    $('find').value = $('speaker').value = '';
    show = choose(document.querySelector('[data-show=all]'), 'show');
    arrange();
  });
  $('play').addEventListener('click', toggle);
  $('zoom-in').addEventListener('click', () => timeline.zoom(.5));
  $('zoom-out').addEventListener('click', () => timeline.zoom(2));
  $('zoom-all').addEventListener('click', () => timeline.zoom(1e9));

  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, select, textarea');
    if (typing && event.key === 'Escape') event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      j: () => step(1), k: () => step(-1), '/': () => $('find').focus(), ' ': toggle,
      x: () => swap(data.sounds.find((lane) => lane !== hear) || hear),
    };
    for (const lane of data.sounds) keys[SOUNDS[lane].key] = () => playLine(Math.max(0, selected), lane);
    if (!keys[event.key] || (event.key === ' ' && event.target.matches('button, a'))) return;
    event.preventDefault();
    keys[event.key]();
  });

  /* report.html#es:0012 or #0012 is a line, #t=65.2 a time; a link to a time plays from there. */
  function go(asked) {
    const time = asked.startsWith('t=') ? parseFloat(asked.slice(2)) : NaN;
    const wanted = language.lines.findIndex((line) => time >= 0 ? line.e > time : line.id === asked.split(':').at(-1));
    if (wanted >= 0) select(wanted, true);
    if (time >= 0) { timeline.look(time); at(time, false); }
    return time;
  }

  const asked = decodeURIComponent(location.hash.slice(1)), [tag] = asked.split(':');
  const chapterAt = new Map();
  for (const named of all('[data-speaker]')) named.style.setProperty('--hue', hue(named.dataset.speaker));
  for (const chapter of data.chapters || []) chapterAt.set(chapter.line, chapter);
  for (const link of all('a[href^="#t="]')) link.addEventListener('click', () => play(hear, go(decodeURIComponent(link.hash.slice(1))), Infinity));
  addEventListener('hashchange', () => go(decodeURIComponent(location.hash.slice(1))));
  speak(data.languages[tag] ? tag : Object.keys(data.languages)[0]);
  go(asked);
})();
