/* terminal.js - shells inside, several at once, by exec. xterm.js comes when it
 * is first needed. */
import { html, useEffect, useRef, useState } from '../../app/html.js';
import { t, bytes } from '../../app/i18n.js';
import { keepShells, keptShells, openLine } from '../../app/shell.js';
import { useStore } from '../../app/store.js';
import { settings, changeSettings } from '../../app/settings.js';
import { visible } from '../../app/text.js';
import { Empty, Filterbar, Toggle } from '../../components/bits.js';
import { style } from '../../components/chart.js';
import { Icon } from '../../components/icons.js';

let library = /** @type {Promise<any>|null} */ (null);
function load() {
  library ??= Promise.all([import('@xterm/xterm'), import('@xterm/addon-fit'), style(new URL('../../vendor/xterm.css', import.meta.url))])
    .then(([xterm, fit]) => ({ Terminal: xterm.Terminal, FitAddon: fit.FitAddon }));
  return library;
}

/**
 * xterm.js writes its colours into <style> elements, which the content security
 * policy refuses. While it opens, those it asks for are stand-ins: what is
 * written into them goes into sheets made by script, which the policy allows.
 * @param {() => void} open
 */
export function withSheets(open) {
  const create = document.createElement;
  const sheets = [];
  document.createElement = /** @type {any} */ (function (name, options) {
    if (String(name).toLowerCase() !== 'style') return create.call(document, name, options);
    const stand = create.call(document, 'template');
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    let text = '';
    Object.defineProperty(stand, 'textContent', { get: () => text, set: (value) => { text = String(value); sheet.replaceSync(text); } });
    return stand;
  });
  try { open(); } finally { delete (/** @type {any} */ (document)).createElement; }
  return () => { document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.includes(sheet)); };
}

const palette = (root) => {
  const of = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  return { background: of('--terminal'), foreground: of('--terminal-text'), cursor: of('--terminal-text'), selectionBackground: of('--terminal-selection') };
};

function Session({ container, shell, shown, line, onMade, onEnd }) {
  const box = useRef(/** @type {HTMLDivElement} */ (null));
  const [state, setState] = useState(/** @type {import('../../app/shell.js').LineState} */ ({ key: 'opening' }));
  const wants = useRef(true); /* the focus: when it is opened, not when it is joined again */
  const { screenReader } = useStore(settings);
  useEffect(() => {
    let terminal, forget = () => {}, gone = false, observer;
    wants.current = true;
    (async () => {
      const { Terminal, FitAddon } = await load();
      if (gone) return;
      terminal = new Terminal({ fontSize: 13, fontFamily: 'ui-monospace, "Noto Sans Mono", "Liberation Mono", monospace', cursorBlink: false, scrollback: 10000, screenReaderMode: !!screenReader, theme: palette(box.current), allowProposedApi: false });
      const fit = new FitAddon();
      terminal.loadAddon(fit);
      forget = withSheets(() => terminal.open(box.current));
      fit.fit();
      terminal.attachCustomKeyEventHandler((event) => {
        /* Tab belongs to the shell; this leaves it, so that nobody is trapped. */
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.key === 'Escape') { /** @type {HTMLElement|null} */ (box.current?.closest('.view')?.querySelector('.tabs a'))?.focus(); return false; }
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.code === 'KeyC') { navigator.clipboard.writeText(terminal.getSelection()).catch(() => {}); return false; }
        return true;
      });
      const own = line.current = openLine(shell, container.id, {
        size: () => terminal, made: onMade,
        write: (data, done) => terminal.write(data, done),
        missed: (count) => terminal.write(`\r\n\x1b[0;2m${t('terminal.missed', { size: bytes(count) })}\x1b[0m\r\n`),
        say: (next) => { setState(next); if (!next && wants.current) { wants.current = false; terminal.focus(); } },
      });
      terminal.onData((data) => { if (!own.over()) own.send(data); else if (data === '\r') again(); });
      terminal.onBinary((data) => own.sendBinary(data));
      terminal.onResize(({ cols, rows }) => own.resize(cols, rows));
      observer = new ResizeObserver(() => { if (box.current?.clientWidth) fit.fit(); });
      observer.observe(box.current);
    })();
    return () => { gone = true; observer?.disconnect(); line.current?.leave(); line.current = null; terminal?.dispose(); forget(); };
  }, [screenReader]);
  const now = useRef(state);
  now.current = state;
  const again = () => { wants.current = true; line.current?.again(now.current?.key !== 'taken' && now.current?.key !== 'lost'); };
  return html`<div class=${'terminal-pane' + (shown ? '' : ' away')}><div class="terminal" ref=${box}></div>
    ${state && html`<div class=${'terminal-state' + (state.key === 'opening' || state.key === 'lost' ? ' late' : '')} role="status"><span>${state.message ? visible(state.message) : t('terminal.' + state.key, { code: String(state.code) })}</span>
      ${state.key !== 'opening' && html`<button type="button" onClick=${again}>${t(state.key === 'lost' ? 'terminal.now' : state.key === 'taken' ? 'terminal.takeBack' : 'terminal.again')}</button>`}
      <button type="button" class="quiet" onClick=${onEnd}>${t('close')}</button></div>`}</div>`;
}

/** @type {(sessions: {id: number}[]) => number} */
const next = (sessions) => 1 + Math.max(0, ...sessions.map(({ id }) => id));
export default function TerminalTab({ container: c }) {
  const [sessions, setSessions] = useState(() => { const kept = keptShells(c.id); return kept.length ? kept : [{ id: 1, shell: 'sh', exec: '' }]; });
  const [now, setNow] = useState(() => sessions[0].id);
  /* By session: the object in the list is the one that its line writes its exec into. */
  const lines = useRef(/** @type {Record<number, {current: ReturnType<typeof openLine>|null}>} */ ({}));
  const latest = useRef(sessions);
  latest.current = sessions;
  const keep = () => keepShells(c.id, latest.current);
  const [shell, setShell] = useState('sh');
  const s = useStore(settings);
  if (c.state !== 'running') return html`<${Empty} title=${t('compare.empty.stopped')} text=${t('terminal.stopped')} />`;
  const close = (id) => {
    lines.current[id]?.current?.hangup();
    const rest = latest.current = sessions.filter((one) => one.id !== id);
    keep();
    setSessions(rest);
    if (now === id) setNow(rest.at(-1)?.id ?? 0);
  };
  const open = () => { const id = next(sessions); setSessions([...sessions, { id, shell, exec: '' }]); setNow(id); };
  return html`<${Filterbar}>
      <div class="choice" role="group" aria-label=${t('terminal.sessions')}>${sessions.map((one) => html`<button type="button" key=${one.id} aria-pressed=${now === one.id ? 'true' : 'false'} onClick=${() => setNow(one.id)}>${one.shell} <small>${one.id}</small></button>`)}</div>
      ${now > 0 && html`<button type="button" class="quiet icon-only" aria-label=${t('terminal.close')} title=${t('terminal.close')} onClick=${() => close(now)}><${Icon} name="close" /></button>`}
      <form class="inline-form" onSubmit=${(e) => { e.preventDefault(); open(); }}><label class="inline-field"><span>${t('terminal.shell')}</span><input list="shells" value=${shell} onInput=${(e) => setShell(e.target.value)} required spellcheck=${false} /></label><datalist id="shells">${['sh', 'bash', 'ash', 'zsh', 'fish'].map((name) => html`<option key=${name} value=${name} />`)}</datalist><button type="submit"><${Icon} name="plus" /> ${t('terminal.open')}</button></form>
      <span class="grow"></span><span class="quiet-text">${t('terminal.leave')}</span>
      <${Toggle} checked=${!!s.screenReader} onChange=${(screenReader) => changeSettings({ screenReader })}>${t('terminal.reader')}</${Toggle}></${Filterbar}>
    <div class="terminals">${sessions.length ? sessions.map((one) => html`<${Session} key=${one.id} container=${c} shell=${one} shown=${one.id === now} line=${(lines.current[one.id] ??= { current: null })} onMade=${keep} onEnd=${() => close(one.id)} />`) : html`<${Empty} title=${t('terminal.none')} />`}</div>`;
}
