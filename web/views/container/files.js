/* files.js - what a container changed, and files in and out, behind either wall. */
import { html, useMemo, useRef, useState } from '../../app/html.js';
import { t } from '../../app/i18n.js';
import { docker, send, DOCKER, url } from '../../app/api.js';
import { useLive } from '../../app/live.js';
import { setQuery } from '../../app/router.js';
import { can } from '../../app/session.js';
import { fold, visible } from '../../app/text.js';
import { tar } from '../../app/tar.js';
import { Filterbar, Problem, Search } from '../../components/bits.js';
import { Table } from '../../components/table.js';
import { attempt } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

export default function Files({ container: c, query }) {
  const live = useLive(['changes', c.id], () => docker.changes(c.id), { interval: 10000 });
  const [path, setPath] = useState('/etc/hostname');
  const [folder, setFolder] = useState('/tmp');
  const file = useRef(/** @type {HTMLInputElement} */ (null));
  const rows = useMemo(() => (live.data ?? []).filter((x) => fold(x.Path).includes(fold(query.q ?? ''))), [live.data, query.q]);
  const download = (from) => { const a = document.createElement('a'); a.href = url(`${DOCKER}/containers/${c.id}/archive`, { path: from }); a.download = (from.split('/').filter(Boolean).pop() ?? 'root') + '.tar'; a.click(); };
  const upload = async (list) => {
    const files = await Promise.all([...list].map(async (f) => ({ name: f.name, data: new Uint8Array(await f.arrayBuffer()), time: f.lastModified })));
    if (files.length) attempt(() => send('PUT', `${DOCKER}/containers/${c.id}/archive`, { query: { path: folder }, raw: tar(files), type: 'application/x-tar' }).then(() => live.refresh()), t('files.uploaded', { n: files.length, folder }));
  };
  const kinds = ['changed', 'added', 'deleted'];
  return html`<${Filterbar}>
      ${can('operate') && html`<form class="inline-form" onSubmit=${(e) => { e.preventDefault(); download(path); }}><label class="inline-field"><span>${t('files.get')}</span><input value=${path} onInput=${(e) => setPath(e.target.value)} spellcheck="false" required /></label><button type="submit"><${Icon} name="download" /> ${t('files.download')}</button></form>
      <form class="inline-form" onSubmit=${(e) => { e.preventDefault(); file.current.click(); }}><label class="inline-field"><span>${t('files.put')}</span><input value=${folder} onInput=${(e) => setFolder(e.target.value)} spellcheck="false" required /></label><button type="submit"><${Icon} name="upload" /> ${t('files.upload')}</button><input ref=${file} type="file" multiple hidden aria-label=${t('files.upload')} onChange=${(e) => { upload(e.target.files); e.target.value = ''; }} /></form>`}
      <${Search} value=${query.q ?? ''} label=${t('files.search')} onChange=${(q) => setQuery({ q })} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <p class="quiet-text">${t('files.text')}</p>
    <${Table} label=${t('files.changes')} rows=${rows} rowKey=${(x) => x.Path} loading=${live.loading} empty=${t('files.none')} columns=${[
      { key: 'Kind', label: t('files.kind'), width: 110, render: (x) => html`<span class=${'tag ' + ['', 'born', 'ended'][x.Kind]}>${t('files.' + kinds[x.Kind])}</span>` },
      { key: 'Path', label: t('files.path'), render: (x) => html`<code class="cut">${visible(x.Path)}</code>` },
      { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (x) => x.Kind !== 2 && can('operate') && html`<button type="button" class="quiet icon-only" tabindex="-1" aria-label=${t('files.download') + ' ' + visible(x.Path)} onClick=${() => download(x.Path)}><${Icon} name="download" /></button>` }]} />`;
}
