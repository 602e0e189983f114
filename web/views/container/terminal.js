/* terminal.js - shells inside, several at once, by exec. xterm.js comes when it
 * is first needed. */
import { html, useEffect, useRef, useState } from '../../app/html.js';
import { t } from '../../app/i18n.js';
import { post, DOCKER } from '../../app/api.js';
import { useStore } from '../../app/store.js';
import { settings, changeSettings } from '../../app/settings.js';
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

function Session({ container, shell, shown, onEnd }) {
  const box = useRef(/** @type {HTMLDivElement} */ (null));
  const fitter = useRef(/** @type {any} */ (null));
  const [state, setState] = useState('');
  const [turn, setTurn] = useState(0);
  const { screenReader } = useStore(settings);
  useEffect(() => {
    let terminal, socket, forget = () => {}, gone = false, observer;
    const encoder = new TextEncoder();
    setState(t('terminal.opening'));
    (async () => {
      const { Terminal, FitAddon } = await load();
      if (gone) return;
      terminal = new Terminal({ fontSize: 13, fontFamily: 'ui-monospace, "Noto Sans Mono", "Liberation Mono", monospace', cursorBlink: false, scrollback: 10000, screenReaderMode: !!screenReader, theme: palette(box.current), allowProposedApi: false });
      const fit = (fitter.current = new FitAddon());
      terminal.loadAddon(fit);
      forget = withSheets(() => terminal.open(box.current));
      fit.fit();
      terminal.attachCustomKeyEventHandler((event) => {
        /* Tab belongs to the shell; this leaves it, so that nobody is trapped. */
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.key === 'Escape') { /** @type {HTMLElement|null} */ (box.current?.closest('.view')?.querySelector('.tabs a'))?.focus(); return false; }
        if (event.type === 'keydown' && event.ctrlKey && event.shiftKey && event.code === 'KeyC') { navigator.clipboard.writeText(terminal.getSelection()).catch(() => {}); return false; }
        return true;
      });
      try {
        const made = await post(`${DOCKER}/containers/${container.id}/exec`, { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, Cmd: [shell], Env: ['TERM=xterm-256color'] });
        if (gone) return;
        socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/exec/${made.Id}/ws?rows=${terminal.rows}&cols=${terminal.cols}`);
        socket.binaryType = 'arraybuffer';
        let ended = false;
        socket.onopen = () => { setState(''); terminal.focus(); };
        socket.onmessage = (event) => {
          if (typeof event.data !== 'string') return terminal.write(new Uint8Array(event.data));
          try { const { exit } = JSON.parse(event.data); if (exit !== undefined) { ended = true; setState(t('terminal.ended', { code: String(exit) })); } } catch { /* not for us */ }
        };
        socket.onclose = () => { if (!gone && !ended) setState(t('terminal.lost')); };
        terminal.onData((data) => { if (socket.readyState === 1) socket.send(encoder.encode(data)); });
        terminal.onBinary((data) => { if (socket.readyState === 1) socket.send(Uint8Array.from(data, (c) => c.charCodeAt(0))); });
        terminal.onResize(({ cols, rows }) => { if (socket.readyState === 1) socket.send(JSON.stringify({ resize: [cols, rows] })); });
        observer = new ResizeObserver(() => { if (box.current?.clientWidth) fit.fit(); });
        observer.observe(box.current);
      } catch (error) { setState(error.message); }
    })();
    return () => { gone = true; observer?.disconnect(); socket?.close(); terminal?.dispose(); forget(); };
  }, [turn, screenReader]);
  return html`<div class=${'terminal-pane' + (shown ? '' : ' away')}><div class="terminal" ref=${box}></div>
    ${state && html`<div class="terminal-state" role="status">${state} <button type="button" onClick=${() => setTurn(turn + 1)}>${t('terminal.again')}</button> <button type="button" class="quiet" onClick=${onEnd}>${t('close')}</button></div>`}</div>`;
}

let serial = 0;
export default function TerminalTab({ container: c }) {
  const [sessions, setSessions] = useState([{ id: ++serial, shell: 'sh' }]);
  const [now, setNow] = useState(serial);
  const [shell, setShell] = useState('sh');
  const s = useStore(settings);
  if (c.state !== 'running') return html`<${Empty} title=${t('compare.empty.stopped')} text=${t('terminal.stopped')} />`;
  const close = (id) => { const rest = sessions.filter((one) => one.id !== id); setSessions(rest); if (now === id) setNow(rest.at(-1)?.id ?? 0); };
  return html`<${Filterbar}>
      <div class="choice" role="group" aria-label=${t('terminal.sessions')}>${sessions.map((one) => html`<button type="button" key=${one.id} aria-pressed=${now === one.id ? 'true' : 'false'} onClick=${() => setNow(one.id)}>${one.shell} <small>${one.id}</small></button>`)}</div>
      ${now > 0 && html`<button type="button" class="quiet icon-only" aria-label=${t('terminal.close')} title=${t('terminal.close')} onClick=${() => close(now)}><${Icon} name="close" /></button>`}
      <form class="inline-form" onSubmit=${(e) => { e.preventDefault(); setSessions([...sessions, { id: ++serial, shell }]); setNow(serial); }}><label class="inline-field"><span>${t('terminal.shell')}</span><input list="shells" value=${shell} onInput=${(e) => setShell(e.target.value)} required spellcheck=${false} /></label><datalist id="shells">${['sh', 'bash', 'ash', 'zsh', 'fish'].map((name) => html`<option key=${name} value=${name} />`)}</datalist><button type="submit"><${Icon} name="plus" /> ${t('terminal.open')}</button></form>
      <span class="grow"></span><span class="quiet-text">${t('terminal.leave')}</span>
      <${Toggle} checked=${!!s.screenReader} onChange=${(screenReader) => changeSettings({ screenReader })}>${t('terminal.reader')}</${Toggle}></${Filterbar}>
    <div class="terminals">${sessions.length ? sessions.map((one) => html`<${Session} key=${one.id} container=${c} shell=${one.shell} shown=${one.id === now} onEnd=${() => close(one.id)} />`) : html`<${Empty} title=${t('terminal.none')} />`}</div>`;
}
