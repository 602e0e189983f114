/* build.mjs OUTDIR - lays the console out as it is served; see tools/build-web.
 * A file is kept by browsers for a year if its name bears a hash: app/api.HASH.js.
 *
 * Import maps would need an inline script, which the content security policy
 * rightly refuses: bare names are rewritten to paths instead.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const web = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2]);

/* Bare name -> file of the package -> its place in the served tree. */
const vendors = {
  'preact': ['preact/dist/preact.mjs', 'vendor/preact.js'],
  'preact/hooks': ['preact/hooks/dist/hooks.mjs', 'vendor/hooks.js'],
  'htm': ['htm/dist/htm.mjs', 'vendor/htm.js'],
  'uplot': ['uplot/dist/uPlot.esm.js', 'vendor/uplot.js'],
  '@xterm/xterm': ['@xterm/xterm/lib/xterm.mjs', 'vendor/xterm.js'],
  '@xterm/addon-fit': ['@xterm/addon-fit/lib/addon-fit.mjs', 'vendor/xterm-fit.js'],
};
const copies = {
  'vendor/uplot.css': 'uplot/dist/uPlot.min.css',
  'vendor/xterm.css': '@xterm/xterm/css/xterm.css',
};
const folders = ['app', 'components', 'views', 'styles', 'locales', 'icons'];
const singles = ['boot.js', 'main.js'];

/** @type {Map<string, Buffer>} */
const files = new Map();

function walk(folder) {
  for (const entry of readdirSync(join(web, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) walk(path);
    else files.set(path, readFileSync(join(web, path)));
  }
}

/* Imports as paths within the served tree. */
const importing = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\s]+)\2/g;
function rewrite(path, text) {
  return text.replace(/^\/\/# sourceMappingURL=.*$/m, '').replace(importing, (whole, head, quote, name) => {
    if (!vendors[name]) return whole;
    let target = relative(dirname(path), vendors[name][1]);
    if (!target.startsWith('.')) target = './' + target;
    return head + quote + target + quote;
  });
}

folders.forEach(walk);
for (const name of singles) files.set(name, readFileSync(join(web, name)));
for (const [source, target] of Object.values(vendors)) files.set(target, readFileSync(join(web, 'node_modules', source)));
for (const [target, source] of Object.entries(copies)) files.set(target, readFileSync(join(web, 'node_modules', source)));
for (const [path, data] of files)
  if (path.endsWith('.js')) files.set(path, Buffer.from(rewrite(path, data.toString())));

/* One request instead of four, in the order in which they overrule each other. */
const sheets = ['tokens', 'base', 'components', 'views'].map((name) => `styles/${name}.css`);
files.set('styles/console.css', Buffer.concat(sheets.map((path) => files.get(path))));
for (const path of sheets) files.delete(path);

/* What the first view imports, directly or not, is fetched at once instead of
 * one round trip for each level. */
const first = new Set();
function follow(path) {
  if (first.has(path) || !files.has(path)) return;
  first.add(path);
  for (const [, target] of files.get(path).toString().matchAll(/(?:from|^import)\s*['"](\.[^'"]+)['"]/gm))
    follow(join(dirname(path), target));
}
follow('main.js');
follow('views/overview.js');

const hash = createHash('sha256');
for (const path of [...files.keys()].sort()) hash.update(path).update('\0').update(files.get(path)).update('\0');
const tag = hash.digest('hex').slice(0, 16);
const hashed = (path) => path.replace(/(\.\w+)$/, `.${tag}$1`);
const preload = [...first].filter((path) => path !== 'main.js').sort()
  .map((path) => `<link rel="modulepreload" href="/assets/${hashed(path)}">`).join('\n');
const index = readFileSync(join(web, 'index.html'), 'utf8')
  .replace(/@BASE@\/([\w./-]+)/g, (whole, path) => '/assets/' + hashed(path)).replace('@PRELOAD@', preload);
for (const [path, data] of files)
  if (path.endsWith('.js'))
    files.set(path, Buffer.from(data.toString().replace(importing, (whole, head, quote, name) =>
      /^\.\.?\//.test(name) && files.has(join(dirname(path), name)) ? head + quote + hashed(name) + quote : whole)
      /* Styles that come when they are first needed: new URL('../vendor/x.css', import.meta.url). */
      .replace(/'(\.\.?\/[\w./-]+\.css)'/g, (whole, name) => (files.has(join(dirname(path), name)) ? `'${hashed(name)}'` : whole))));

/* Aside, then in one step: a server that serves meanwhile sees the old or the new. */
const aside = out + '.new';
rmSync(aside, { recursive: true, force: true });
function put(path, data) {
  mkdirSync(dirname(join(aside, path)), { recursive: true });
  writeFileSync(join(aside, path), data);
  if (/\.(png|woff2)$/.test(path)) return;
  writeFileSync(join(aside, path + '.gz'), gzipSync(data, { level: 9 }));
  writeFileSync(join(aside, path + '.br'), brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } }));
}
for (const [path, data] of files) put('assets/' + hashed(path), data);
put('index.html', Buffer.from(index));
mkdirSync(out, { recursive: true });
/* Pages that are open still ask for the files they began with: those of the last
 * few builds stay. */
const kept = join(out, '.builds');
let builds = [];
try { builds = readFileSync(kept, 'utf8').split('\n').filter(Boolean); } catch { /* the first */ }
builds = [...builds.filter((old) => old !== tag), tag].slice(-3);
cpSync(join(aside, 'assets'), join(out, 'assets'), { recursive: true });
for (const name of ['index.html', 'index.html.gz', 'index.html.br']) renameSync(join(aside, name), join(out, name));
rmSync(aside, { recursive: true, force: true });
for (const entry of readdirSync(join(out, 'assets'), { recursive: true })) {
  const old = /\.([0-9a-f]{16})\.\w+(\.(gz|br))?$/.exec(String(entry));
  if (old && !builds.includes(old[1])) rmSync(join(out, 'assets', String(entry)));
}
writeFileSync(kept, builds.join('\n') + '\n');
const sum = [...first].reduce((total, path) => total + gzipSync(files.get(path)).length, 0);
console.error(`console ${tag}: ${files.size} files, first view's scripts ${(sum / 1024).toFixed(1)} KB compressed`);
