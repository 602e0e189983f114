/* context.js - what was dropped, as the context of a build: folders are walked,
 * .dockerignore is obeyed, so that what is not wanted is not sent. */

/** @typedef {{name: string, data: File|Blob}} Item */

/** @param {FileSystemEntry} entry @param {string} path @param {Item[]} out */
async function walk(entry, path, out) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    out.push({ name: path + entry.name, data: file });
  } else if (entry.isDirectory) {
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) break;
      for (const one of some) await walk(one, path + entry.name + '/', out);
    }
  }
}

/** What a drop brought; the name of a single folder is not part of its paths. @param {DataTransfer} transfer @returns {Promise<Item[]>} */
export async function droppedItems(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === 'file').map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  const out = /** @type {Item[]} */ ([]);
  for (const [i, entry] of entries.entries())
    if (entry) await walk(entry, '', out);
    else if (files[i]) out.push({ name: files[i].name, data: files[i] });
  return withoutTop(out);
}
/** @param {FileList|File[]} list from a field, perhaps of a whole folder @returns {Item[]} */
export const pickedItems = (list) => withoutTop([...list].map((file) => ({ name: file.webkitRelativePath || file.name, data: file })));

/** @param {Item[]} items */
function withoutTop(items) {
  const tops = new Set(items.map(({ name }) => (name.includes('/') ? name.slice(0, name.indexOf('/')) : '')));
  return tops.size === 1 && !tops.has('') ? items.map(({ name, data }) => ({ name: name.slice(name.indexOf('/') + 1), data })) : items;
}

export const isArchive = (name) => /\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$/i.test(name);

/** One line of .dockerignore as an expression. @param {string} pattern */
function expression(pattern) {
  const clean = pattern.replace(/^\.?\/+|\/+$/g, '');
  const body = clean.replace(/\*\*\/?|\*|\?|\[[^\]]*\]|[.+^${}()|\\]/g, (part) =>
    part === '**/' ? '(?:.*/)?' : part === '**' ? '.*' : part === '*' ? '[^/]*' : part === '?' ? '[^/]' : part.startsWith('[') ? part : '\\' + part);
  return new RegExp('^' + body + '(?:/.*)?$');
}

/** The last line that fits a path decides. @param {string} text @returns {(path: string) => boolean} is it left out */
export function ignoring(text) {
  const rules = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line && !line.startsWith('#')).flatMap((line) => {
    const keep = line.startsWith('!');
    try { return [{ keep, fits: expression(keep ? line.slice(1).trim() : line) }]; } catch { return []; }
  });
  return (path) => rules.reduce((out, rule) => (rule.fits.test(path) ? !rule.keep : out), false);
}

/** @param {Item[]} items @param {string} dockerfile @returns {Promise<{items: Item[], left: number}>} */
export async function wanted(items, dockerfile) {
  const file = items.find(({ name }) => name === dockerfile + '.dockerignore') ?? items.find(({ name }) => name === '.dockerignore');
  if (!file) return { items, left: 0 };
  const out = ignoring(await file.data.text());
  const kept = items.filter(({ name }) => name === dockerfile || name === '.dockerignore' || !out(name));
  return { items: kept, left: items.length - kept.length };
}
