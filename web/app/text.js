/* text.js - names from containers are somebody else's bytes: control characters
 * and bidirectional overrides are made visible, so that a process cannot draw
 * itself as another. HTML is no danger here: all markup goes through nodes. */

const unsafe = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\ufeff]/g;

/** @param {unknown} value */
export function visible(value) {
  return String(value ?? '').replace(unsafe, (c) => {
    const code = c.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return '\u{fffd}';
  });
}
export const shortId = (id) => String(id ?? '').replace(/^sha256:/, '').slice(0, 12);
export const imageName = (name) => visible(String(name ?? '')).replace(/^sha256:([0-9a-f]{12})[0-9a-f]*$/, '$1');

/** Lower case without accents, for searching. */
export const fold = (text) => String(text ?? '').normalize('NFD').replace(/[\u0300-\u036f]/g, '').toLowerCase();

/** @param {string[]} header @param {any[][]} rows */
export function csv(header, rows) {
  const cell = (value) => {
    let text = String(value ?? '');
    /* A spreadsheet must not take a command line for a formula. */
    if (/^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text)) text = "'" + text;
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** "registry:5000/a/b:tag" in two. @returns {[string, string]} */
export function nameAndTag(name) {
  const at = name.lastIndexOf(':'), tagged = at > name.lastIndexOf('/');
  return tagged && !name.includes('@') ? [name.slice(0, at), name.slice(at + 1)] : [name, ''];
}
