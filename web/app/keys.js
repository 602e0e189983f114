/* keys.js - keyboard commands. A view registers its own while it is shown; the
 * list behind "?" and the palette are made from what is registered. */
import { createStore } from './store.js';
import { useEffect, useRef } from 'preact/hooks';

/** @typedef {{keys?: string, label: string, run: () => void, group?: string, hint?: string}} Command */
export const commands = createStore(/** @type {Command[]} */ ([]));

/** @param {Command[]} list */
export function useCommands(list) {
  const latest = useRef(list);
  latest.current = list;
  const shape = list.map((c) => (c.keys ?? '') + c.label).join('|');
  useEffect(() => {
    const mine = latest.current.map((command, i) => ({ ...command, run: () => latest.current[i]?.run() }));
    commands.set((old) => [...old, ...mine]);
    return () => commands.set((old) => old.filter((command) => !mine.includes(command)));
  }, [shape]);
}

const editable = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !/^(checkbox|radio|range)$/.test(/** @type {HTMLInputElement} */ (target).type)));

export function keyName(event) {
  const key = event.key.length === 1 ? event.key : event.key;
  return (event.ctrlKey || event.metaKey ? 'Ctrl-' : '') + (event.altKey ? 'Alt-' : '') + (key.length === 1 && (event.ctrlKey || event.metaKey) ? key.toLowerCase() : key);
}

let pending = '';
let pendingTimer = 0;
export function startKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const name = keyName(event);
    const plain = !name.startsWith('Ctrl-');
    if (plain && (editable(event.target) || /** @type {Element} */ (event.target).closest?.('.xterm'))) return;
    const inDialog = document.querySelector('dialog[open]');
    if (inDialog && plain) return;
    const list = /** @type {Command[]} */ (commands.get());
    const find = (keys) => [...list].reverse().find((command) => command.keys === keys);
    const chord = pending ? pending + ' ' + name : '';
    clearTimeout(pendingTimer);
    pending = '';
    const command = (chord && find(chord)) || find(name);
    if (command) {
      event.preventDefault();
      command.run();
    } else if (list.some((c) => c.keys?.startsWith(name + ' '))) {
      pending = name;
      pendingTimer = setTimeout(() => { pending = ''; }, 1000);
    }
  });
}
