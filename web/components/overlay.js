/* overlay.js - dialogs, confirmations, menus and short messages. */
import { html, useLayoutEffect, useRef, useState } from '../app/html.js';
import { createStore, useStore } from '../app/store.js';
import { t } from '../app/i18n.js';
import { Icon } from './icons.js';

/** A modal dialog; the browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children, wide = false, actions = null }) {
  const ref = useRef(/** @type {HTMLDialogElement} */ (null));
  useLayoutEffect(() => {
    const dialog = ref.current;
    const before = /** @type {HTMLElement} */ (document.activeElement);
    dialog.showModal();
    /** @type {HTMLElement} */ (dialog.querySelector('[autofocus], input:not([type=checkbox]), textarea, select'))?.focus();
    /* What only scrolls must be reached by the keyboard, too. */
    const content = /** @type {HTMLElement} */ (dialog.querySelector('.dialog-content'));
    if (content.scrollHeight > content.clientHeight && !content.querySelector('a, button, input, select, textarea')) content.tabIndex = 0;
    return () => { dialog.close(); before?.focus?.(); };
  }, []);
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby="dialog-title"
    onCancel=${(event) => { event.preventDefault(); onClose?.(); }}
    onMouseDown=${(event) => { if (event.target === ref.current) onClose?.(); }}>
    <div class="dialog-body">
      <header><h2 id="dialog-title">${title}</h2>${onClose && html`<button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button>`}</header>
      <div class="dialog-content">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </div></dialog>`;
}

/* --- confirmation ------------------------------------------------------------- */
const asking = createStore(/** @type {any} */ (null));

/** How much is asked fits the harm: `type` wants the name written. Resolves to false or to {choices}.
 * @param {{title: string, text?: any, action: string, danger?: boolean, type?: string, choices?: {key: string, label: string, value?: boolean}[], field?: {label: string, value: string, hint?: string}, pick?: {label: string, options: string[][]}}} question */
export function confirm(question) {
  return new Promise((resolve) => asking.set({ ...question, resolve }));
}

function Question({ question }) {
  const [choices, setChoices] = useState(Object.fromEntries((question.choices ?? []).map((c) => [c.key, !!c.value])));
  const [typed, setTyped] = useState('');
  const [value, setValue] = useState(question.field?.value ?? '');
  const [picked, setPicked] = useState(question.pick?.options[0]?.[0] ?? '');
  const done = (answer) => { asking.set(null); question.resolve(answer); };
  const ready = !question.type || typed === question.type;
  const submit = (event) => { event.preventDefault(); if (ready) done({ ...choices, value, picked }); };
  return html`<${Dialog} title=${question.title} onClose=${() => done(false)}>
    <form onSubmit=${submit}>
      ${question.text && html`<p>${question.text}</p>`}
      ${question.field && html`<label class="field"><span>${question.field.label}</span><input value=${value} onInput=${(e) => setValue(e.target.value)} autofocus />${question.field.hint && html`<small>${question.field.hint}</small>`}</label>`}
      ${question.pick && html`<label class="field"><span>${question.pick.label}</span><select value=${picked} onChange=${(e) => setPicked(e.target.value)}>${question.pick.options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === picked}>${text}</option>`)}</select></label>`}
      ${(question.choices ?? []).map((c) => html`<label class="check-line" key=${c.key}><input type="checkbox" checked=${choices[c.key]} onChange=${(e) => setChoices({ ...choices, [c.key]: e.target.checked })} /> ${c.label}</label>`)}
      ${question.type && html`<label class="field"><span>${t('confirm.type', { name: question.type })}</span><input autofocus value=${typed} onInput=${(e) => setTyped(e.target.value)} autocomplete="off" /></label>`}
      <div class="buttons end">
        <button type="button" onClick=${() => done(false)}>${t('cancel')}</button>
        <button type="submit" class=${question.danger ? 'danger' : 'primary'} disabled=${!ready}>${question.action}</button>
      </div>
    </form></${Dialog}>`;
}

/* --- what must be read ---------------------------------------------------------- */
const telling = createStore(/** @type {{title: string, rows: string[][]}[]} */ ([]));
/** Stays until it is closed, unlike a message. @param {{title: string, rows: string[][]}} what rows: who, and what of it */
export const tell = (what) => telling.set((old) => [...old, what]);

function Told({ title, rows, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}><dl class="told">${rows.map(([who, text], i) => html`<div key=${i}><dt>${who}</dt><dd>${text}</dd></div>`)}</dl>
    <div class="buttons end"><button type="button" class="primary" autofocus onClick=${onClose}>${t('close')}</button></div></${Dialog}>`;
}

/* --- messages ------------------------------------------------------------------- */
const toasts = createStore(/** @type {{id: number, text: string, kind: string, action?: {label: string, run: () => void}}[]} */ ([]));
let toastSerial = 0;
export function toast(text, { kind = 'info', action = undefined, life = kind === 'error' ? 9000 : 4500 } = {}) {
  const id = ++toastSerial;
  toasts.set((old) => [...old.slice(-3), { id, text, kind, action }]);
  setTimeout(() => dismiss(id), life);
}
/** A message that stays until its work is done. @param {string} text */
export function progress(text) {
  const id = ++toastSerial;
  const put = (next) => toasts.set((old) => (old.some((one) => one.id === id) ? old.map((one) => (one.id === id ? { ...one, text: next } : one)) : [...old, { id, text: next, kind: 'progress' }]));
  put(text);
  return { say: put, end: () => dismiss(id) };
}
const dismiss = (id) => toasts.set((old) => old.filter((one) => one.id !== id));

/** Runs a change, tells how it went. @param {() => Promise<any>} work @param {string} [done] */
export async function attempt(work, done) {
  try {
    const result = await work();
    if (done) toast(done);
    return result ?? true;
  } catch (error) {
    if (error.name !== 'AbortError') toast(error.message, { kind: 'error' });
    return undefined;
  }
}

export function Overlays() {
  const question = useStore(asking);
  const list = useStore(toasts);
  const [told] = useStore(telling);
  return html`${question && html`<${Question} question=${question} key=${question} />`}
    ${told && html`<${Told} ...${told} key=${told} onClose=${() => telling.set((old) => old.slice(1))} />`}
    <div class="toasts">${list.filter((one) => one.kind === 'progress').map((one) => html`<div key=${one.id} class="toast progress">${one.text}</div>`)}
      <div role="status" aria-live="polite">${list.filter((one) => one.kind !== 'progress').map((one) => html`<div key=${one.id} class=${'toast ' + one.kind}>
      <span>${one.text}</span>
      ${one.action && html`<button type="button" class="quiet" onClick=${() => { one.action.run(); dismiss(one.id); }}>${one.action.label}</button>`}
      <button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${() => dismiss(one.id)}><${Icon} name="close" size=${12} /></button></div>`)}</div></div>`;
}

/* --- menus ------------------------------------------------------------------------- */
const ITEMS = '[role^=menuitem]:not([disabled])';
/* Outside of the menu, whose label it would keep (see table.js). */
function useAway(open, root, setOpen) {
  /* Before anything else can happen: an effect that came after a quick Escape would
   * take the focus into the menu that goes. */
  useLayoutEffect(() => {
    if (!open) return;
    const away = (event) => { if (!root.current?.contains(event.target)) setOpen(false); };
    const gone = (event) => { if (!(event.target instanceof Node && root.current?.contains(event.target))) setOpen(false); };
    document.addEventListener('pointerdown', away, true);
    addEventListener('resize', gone);
    document.addEventListener('scroll', gone, true);
    /* Over everything: what is fixed would be cut off by a table or row that keeps its own to itself. */
    /** @type {HTMLElement} */ (root.current.querySelector('[popover]')).showPopover();
    /** @type {HTMLElement} */ (root.current.querySelector(ITEMS))?.focus();
    return () => { document.removeEventListener('pointerdown', away, true); removeEventListener('resize', gone); document.removeEventListener('scroll', gone, true); };
  }, [open]);
}

/** @param {{label: any, items: ({label: string, run: () => void, icon?: string, danger?: boolean, disabled?: boolean, hint?: string, checked?: boolean}|null|false)[], title?: string, quiet?: boolean, end?: boolean}} props */
export function Menu({ label, items, title = undefined, quiet = true, end = true }) {
  const [open, setOpen] = useState(false);
  const [place, setPlace] = useState({});
  const root = useRef(/** @type {HTMLElement} */ (null));
  const list = /** @type {any[]} */ (items.filter((item) => item));
  useAway(open, root, setOpen);
  const close = () => { setOpen(false); root.current?.querySelector('button')?.focus(); };
  const show = () => {
    if (open) return setOpen(false);
    const box = root.current.getBoundingClientRect();
    const below = innerHeight - box.bottom > 16 + Math.min(list.length * 34, 420) || box.top < innerHeight / 2;
    setPlace({
      [below ? 'top' : 'bottom']: (below ? box.bottom + 4 : innerHeight - box.top + 4) + 'px',
      ...(end ? { right: Math.max(4, document.documentElement.clientWidth - box.right) + 'px' } : { left: Math.max(4, box.left) + 'px' }),
    });
    setOpen(true);
  };
  const onKeyDown = (event) => {
    if (!open) return;
    const buttons = /** @type {HTMLElement[]} */ ([...root.current.querySelectorAll(ITEMS)]);
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (event.key === 'Escape') close();
    else if (event.key === 'ArrowDown') buttons[(at + 1) % buttons.length]?.focus();
    else if (event.key === 'ArrowUp') buttons[(at - 1 + buttons.length) % buttons.length]?.focus();
    else if (event.key === 'Home') buttons[0]?.focus();
    else if (event.key === 'End') buttons.at(-1)?.focus();
    else if (event.key === 'Tab') { setOpen(false); return; }
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<span class="menu-root" ref=${root} onKeyDown=${onKeyDown}>
    <button type="button" class=${quiet ? 'quiet icon-only' : ''} aria-haspopup="menu" aria-expanded=${open ? 'true' : 'false'} aria-label=${title} title=${title} onClick=${show}>${label}</button>
    ${open && html`<div class="menu" role="menu" popover="manual" style=${place}>${list.map((item) => html`<button type="button" role=${item.checked === undefined ? 'menuitem' : 'menuitemcheckbox'} aria-checked=${item.checked === undefined ? undefined : String(item.checked)} key=${item.label} class=${item.danger ? 'danger-text' : ''} disabled=${item.disabled}
      onClick=${() => { if (item.checked === undefined) setOpen(false); item.run(); }}>${item.checked ? html`<${Icon} name="check" />` : item.icon ? html`<${Icon} name=${item.icon} />` : html`<span class="icon"></span>`}<span>${item.label}</span>${item.hint && html`<kbd>${item.hint}</kbd>`}</button>`)}</div>`}
  </span>`;
}
