/* files.js - the files of a container, behind either wall: look round, read,
 * bring in and take out; and what differs from the image. */
import { html, useEffect, useMemo, useRef, useState } from '../../app/html.js';
import { t, bytes, dateTime, shortDate } from '../../app/i18n.js';
import { docker, send, tabique, DOCKER, url } from '../../app/api.js';
import { useLive } from '../../app/live.js';
import { setQuery } from '../../app/router.js';
import { can } from '../../app/session.js';
import { fold, visible } from '../../app/text.js';
import { by } from '../../app/processes.js';
import { firstFile, tar } from '../../app/tar.js';
import { droppedItems, pickedItems } from '../../app/context.js';
import { Choice, CopyButton, Empty, Filterbar, Problem, Search, saveAs } from '../../components/bits.js';
import { Table } from '../../components/table.js';
import { attempt } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

const PREVIEW = 256 * 1024;
const WHOLE = 64 * 1024 * 1024;
const join = (folder, name) => (folder === '/' ? '/' : folder + '/') + name;
const clean = (path) => '/' + String(path ?? '').split('/').filter((part) => part && part !== '.').join('/');
export const modeText = (entry) => ({ directory: 'd', link: 'l', device: 'c', pipe: 'p', socket: 's' }[entry.kind] ?? '-') +
  [6, 3, 0].map((shift) => 'rwx'.split('').map((letter, i) => (entry.mode >> shift & 4 >> i ? letter : '-')).join('')).join('');

/** A file's bytes, as many as are asked for; links are followed once by what the server says of them. */
async function fetchFile(container, path, most, signal) {
  let at = path;
  for (let turns = 0; ; turns++) {
    const response = await send('GET', `${DOCKER}/containers/${container}/archive`, { query: { path: at }, accept: '*/*', signal });
    let stat = /** @type {any} */ ({});
    try { stat = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(response.headers.get('x-docker-container-path-stat') ?? ''), (c) => c.charCodeAt(0)))); } catch { /* the archive itself must do */ }
    if (stat.linkTarget && turns === 0) { response.body.cancel().catch(() => {}); at = stat.linkTarget; continue; }
    const reader = response.body.getReader();
    const chunks = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      length += value.length;
      if (length > most + 4096) { reader.cancel().catch(() => {}); break; }
    }
    const whole = new Uint8Array(length);
    let put = 0;
    for (const chunk of chunks) { whole.set(chunk, put); put += chunk.length; }
    return firstFile(whole);
  }
}
const saveTar = (container, path) => { const a = document.createElement('a'); a.href = url(`${DOCKER}/containers/${container}/archive`, { path }); a.download = (path.split('/').filter(Boolean).pop() ?? 'root') + '.tar'; a.click(); };
const saveFile = (container, path, size) => (size > WHOLE ? saveTar(container, path)
  : attempt(async () => { const file = await fetchFile(container, path, WHOLE); if (file) saveAs(path.split('/').pop(), 'application/octet-stream', file.data); }));

export default function Files({ container: c, query }) {
  if (!can('operate')) return html`<${Empty} title=${t('files.denied')} text=${t('files.denied.text')} />`;
  return query.view === 'changes' ? html`<${Changes} c=${c} query=${query} />` : html`<${Browse} c=${c} query=${query} />`;
}
const views = (query) => html`<${Choice} label=${t('events.view')} value=${query.view ?? ''} onChange=${(view) => setQuery({ view, q: '', file: '', sort: '' })} options=${[['', t('files.browse'), 'folder'], ['changes', t('files.changes'), 'files']]} />`;

function Browse({ c, query }) {
  const folder = clean(query.path);
  const live = useLive(['files', c.id, folder], () => tabique.files(c.id, folder), { interval: c.isolation === 'hyperv' && c.state !== 'running' ? 0 : 5000 });
  const [over, setOver] = useState(false);
  const picker = useRef(/** @type {HTMLInputElement} */ (null));
  const last = useRef(/** @type {any} */ (null));
  if (live.data) last.current = live.data;
  const sort = query.sort ?? 'name';
  const rows = useMemo(() => {
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    const text = fold(query.q ?? '');
    const isFolder = (e) => e.kind === 'directory' || e.targetKind === 'directory';
    return (live.data?.entries ?? []).filter((e) => fold(e.name).includes(text)).sort((a, b) => Number(isFolder(b)) - Number(isFolder(a)) || by(key, descending)(a, b) || by('name', false)(a, b));
  }, [live.data, query.q, sort]);
  const enter = (path) => setQuery({ path: path === '/' ? '' : path, file: '', q: '' }, { push: true });
  const open = (e) => (e.kind === 'directory' || e.targetKind === 'directory' ? enter(join(folder, e.name)) : e.kind === 'file' || e.targetKind === 'file' ? setQuery({ file: e.name }) : undefined);
  const upload = async (items) => {
    const files = items.map(({ name, data }) => ({ name, data, time: data instanceof File ? data.lastModified : undefined }));
    if (files.length) attempt(() => send('PUT', `${DOCKER}/containers/${c.id}/archive`, { query: { path: folder }, raw: tar(files), type: 'application/x-tar' }).then(() => live.refresh()), t('files.uploaded', { n: files.length, folder }));
  };
  const parts = folder.split('/').filter(Boolean);
  const shown = query.file ? live.data?.entries.find((e) => e.name === query.file) : null;
  const columns = [
    { key: 'name', label: t('name'), sort: true, render: (e) => html`<span class="file-name"><${Icon} name=${e.kind === 'directory' || e.targetKind === 'directory' ? 'folder' : e.kind === 'file' ? 'file' : e.kind === 'link' ? 'link' : 'files'} />
      ${/directory|file/.test(e.targetKind ?? e.kind) ? html`<button type="button" class=${'linklike cut' + (e.kind === 'directory' ? ' strong' : '')} tabindex="-1" onClick=${() => open(e)}>${visible(e.name)}</button>` : html`<span class="cut quiet-text">${visible(e.name)}</span>`}
      ${e.kind === 'link' && html`<span class="quiet-text cut target">→ ${visible(e.target)}${e.targetKind ? '' : ' (' + t('files.nowhere') + ')'}</span>`}${/device|pipe|socket/.test(e.kind) && html`<span class="tag">${t('files.' + e.kind)}</span>`}</span>` },
    { key: 'size', label: t('size'), width: 100, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => (e.kind === 'file' ? bytes(e.size) : '–') },
    { key: 'mode', label: t('files.mode'), width: 110, min: 700, render: (e) => html`<span class="mono">${modeText(e)}</span>`, title: (e) => e.mode.toString(8).padStart(4, '0') },
    { key: 'uid', label: t('files.owner'), width: 110, min: 820, sort: true, render: (e) => html`<span class="mono">${e.uid}:${e.gid}</span>` },
    { key: 'modifiedAt', label: t('files.modified'), width: 150, min: 520, sort: true, render: (e) => shortDate(e.modifiedAt), title: (e) => dateTime(e.modifiedAt) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (e) => /directory|file/.test(e.targetKind ?? e.kind) && html`<button type="button" class="quiet icon-only" tabindex="-1" title=${t('files.download')} aria-label=${t('files.download') + ' ' + visible(e.name)} onClick=${() => (e.kind === 'file' ? saveFile(c.id, join(folder, e.name), e.size) : saveTar(c.id, join(folder, e.name)))}><${Icon} name="download" /></button>` },
  ];
  return html`<${Filterbar}>${views(query)}
      <nav class="crumbs" aria-label=${t('files.path')}><button type="button" class="quiet icon-only" aria-label=${t('files.root')} title=${t('files.root')} onClick=${() => enter('/')}><span class="mono">/</span></button>${parts.map((part, i) => html`<span key=${i}>${i > 0 && html`<span aria-hidden="true">/</span>`}<button type="button" class="quiet" aria-current=${i === parts.length - 1 ? 'page' : undefined} onClick=${() => enter('/' + parts.slice(0, i + 1).join('/'))}>${visible(part)}</button></span>`)}</nav>
      <span class="grow"></span><${Search} value=${query.q ?? ''} label=${t('files.find')} onChange=${(q) => setQuery({ q })} />
      <button type="button" onClick=${() => picker.current.click()}><${Icon} name="upload" /><span class="words">${t('files.upload')}</span></button><input ref=${picker} type="file" multiple hidden aria-label=${t('files.upload')} onChange=${(e) => { upload(pickedItems(e.target.files)); e.target.value = ''; }} />
      <button type="button" class="icon-only" title=${t('files.downloadFolder')} aria-label=${t('files.downloadFolder')} onClick=${() => saveTar(c.id, folder)}><${Icon} name="download" /></button></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data?.truncated && html`<p class="problem"><${Icon} name="warn" /> ${t('files.truncated')}</p>`}
    <div class=${'split' + (over ? ' drop-over' : '')} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${async (e) => { e.preventDefault(); setOver(false); upload(await droppedItems(e.dataTransfer)); }}>
      <${Table} label=${t('tab.files')} columns=${columns} rows=${rows} rowKey=${(e) => e.name} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} onOpen=${open} active=${query.file ?? undefined} onActive=${(e) => /file/.test(e.targetKind ?? e.kind) && setQuery({ file: e.name })}
        empty=${query.q ? t('files.nomatch') : t('files.empty')} />
      ${shown && html`<${Viewer} key=${folder + shown.name} c=${c} path=${join(folder, shown.name)} entry=${shown} onClose=${() => setQuery({ file: '' })} />`}</div>`;
}

/** Bytes as text when they are text, else as a dump. */
function asText(data) {
  const head = data.subarray(0, 8000);
  const odd = head.reduce((n, byte) => n + (byte === 0 || (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 27) ? 1 : 0), 0);
  if (odd > head.length / 100) {
    const lines = [];
    for (let at = 0; at < Math.min(data.length, 8192); at += 16) {
      const row = [...data.subarray(at, at + 16)];
      lines.push(at.toString(16).padStart(8, '0') + '  ' + row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ').padEnd(48) + '  ' + row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join(''));
    }
    return { text: lines.join('\n'), binary: true };
  }
  return { text: new TextDecoder('utf-8', { fatal: false }).decode(data), binary: false };
}

function Viewer({ c, path, entry, onClose }) {
  const [state, setState] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const abort = new AbortController();
    fetchFile(c.id, path, PREVIEW, abort.signal).then((file) => setState(file ? { ...asText(file.data.subarray(0, PREVIEW)), size: file.size, cut: file.size > PREVIEW } : { text: '', size: 0 }), (error) => { if (error.name !== 'AbortError') setState({ error }); });
    return () => abort.abort();
  }, [path, entry.modifiedAt, entry.size]);
  return html`<section class="viewer" aria-label=${visible(entry.name)}><header><h2 class="cut">${visible(entry.name)}</h2><span class="quiet-text">${state?.size !== undefined ? bytes(state.size) : ''}</span><span class="grow"></span>
      ${state?.text && !state.binary && html`<${CopyButton} text=${state.text} />`}<button type="button" class="quiet icon-only" aria-label=${t('files.download') + ' ' + visible(entry.name)} title=${t('files.download')} onClick=${() => saveFile(c.id, path, state?.size ?? entry.size)}><${Icon} name="download" /></button><button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button></header>
    ${state?.cut && html`<p class="quiet-text viewer-note">${t('files.cut', { size: bytes(PREVIEW) })}</p>`}
    ${state?.error ? html`<${Problem} error=${state.error} />` : state ? html`<pre tabindex="0"><code>${visible(state.text).replaceAll('\u240a', '\n').replaceAll('\u2409', '\t').replaceAll('\u240d', '') || t('files.emptyFile')}</code></pre>` : html`<p class="late quiet-text viewer-note">${t('loading')}</p>`}</section>`;
}

function Changes({ c, query }) {
  const live = useLive(['changes', c.id], () => docker.changes(c.id), { interval: 10000 });
  const rows = useMemo(() => (live.data ?? []).filter((x) => fold(x.Path).includes(fold(query.q ?? ''))), [live.data, query.q]);
  const kinds = ['changed', 'added', 'deleted'];
  return html`<${Filterbar}>${views(query)}<span class="quiet-text">${t('files.text')}</span><span class="grow"></span><${Search} value=${query.q ?? ''} label=${t('files.search')} onChange=${(q) => setQuery({ q })} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('files.changes')} rows=${rows} rowKey=${(x) => x.Path} loading=${live.loading} empty=${t('files.none')} columns=${[
      { key: 'Kind', label: t('files.kind'), width: 110, render: (x) => html`<span class=${'tag ' + ['', 'born', 'ended'][x.Kind]}>${t('files.' + kinds[x.Kind])}</span>` },
      { key: 'Path', label: t('files.path'), render: (x) => html`<code class="cut">${visible(x.Path)}</code>` },
      { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (x) => x.Kind !== 2 && html`<button type="button" class="quiet icon-only" tabindex="-1" title=${t('files.download')} aria-label=${t('files.download') + ' ' + visible(x.Path)} onClick=${() => saveTar(c.id, x.Path)}><${Icon} name="download" /></button>` }]} />`;
}
