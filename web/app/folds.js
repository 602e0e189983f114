/* folds.js - which nodes of a tree of processes are folded. They stand in the address: their
 * keys are short, and of many those stand there that were folded last. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { once } from './processes.js';
import { setQuery } from './router.js';

const MOST = 50;
const short = (p) => p.pid.toString(36) + '.' + Date.parse(p.startedAt).toString(36);
/** @type {(p: import('./processes.js').Process) => string} */
export const foldOf = once(short);
/** One node on both sides of the wall. @type {(row: import('./processes.js').Row) => string} */
export const rowFold = once((row) => (row.host ? 'h' + short(row.host) : 'c' + short(row.container)));
/** @param {string} text the address's */
export const foldsOf = (text) => new Set(text.split('_').filter(Boolean).slice(-MOST));
/** @param {Set<string>} folded */
export const foldText = (folded) => [...folded].slice(-MOST).join('_');

/** @param {string} [wanted] what the address has as `fold` */
export function useFolded(wanted = '') {
  const [folded, setFolded] = useState(() => foldsOf(wanted));
  const address = useRef(wanted);
  useEffect(() => {
    if (address.current === wanted) return;
    address.current = wanted;
    setFolded(foldsOf(wanted));
  }, [wanted]);
  const toggle = (/** @type {string} */ key, shut = !folded.has(key)) => {
    if (shut === folded.has(key)) return;
    const next = new Set(folded);
    if (shut) next.add(key); else next.delete(key);
    setFolded(next);
    setQuery({ fold: (address.current = foldText(next)) });
  };
  return { folded, toggle };
}
