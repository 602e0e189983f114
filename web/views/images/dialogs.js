/* dialogs.js - where an image comes from and goes to: pull, push, build. */
import { html, useRef, useState } from '../../app/html.js';
import { t, bytes } from '../../app/i18n.js';
import { send, DOCKER } from '../../app/api.js';
import { startJob } from '../../app/jobs.js';
import { tar } from '../../app/tar.js';
import { isArchive, pickedItems, droppedItems, wanted } from '../../app/context.js';
import { nameAndTag, visible } from '../../app/text.js';
import { Choice, Toggle } from '../../components/bits.js';
import { Dialog } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

/** The host part, as Docker finds it. */
export const registryOf = (name) => { const first = name.split('/')[0]; return name.includes('/') && /[.:]|^localhost$/.test(first) ? first : 'docker.io'; };

/* Only for this one request; kept nowhere. */
function authHeader(name, { user, password }) {
  const text = JSON.stringify(user ? { username: user, password, serveraddress: registryOf(name) } : {});
  return { 'X-Registry-Auth': btoa(String.fromCharCode(...new TextEncoder().encode(text))).replaceAll('+', '-').replaceAll('/', '_') };
}
function Credentials({ value, onChange, registry }) {
  return html`<details><summary>${t('registry.auth')}</summary><div class="two"><label class="field"><span>${t('login.user')}</span><input autocomplete="off" autocapitalize="none" spellcheck=${false} value=${value.user} onInput=${(e) => onChange({ ...value, user: e.target.value })} /></label>
    <label class="field"><span>${t('login.password')}</span><input type="password" autocomplete="off" value=${value.password} onInput=${(e) => onChange({ ...value, password: e.target.value })} /></label></div><small>${t('registry.once', { registry })}</small></details>`;
}

/** @param {{onClose: () => void, name?: string}} props */
export function Pull({ onClose, name: initial = '' }) {
  const [name, setName] = useState(initial);
  const [auth, setAuth] = useState({ user: '', password: '' });
  const submit = (event) => {
    event.preventDefault();
    const [fromImage, tag] = nameAndTag(name.trim());
    onClose();
    startJob(t('images.pulling', { name: name.trim() }), (signal) => send('POST', `${DOCKER}/images/create`, { query: { fromImage, tag: tag || (name.includes('@') ? '' : 'latest') }, headers: authHeader(fromImage, auth), signal }));
  };
  return html`<${Dialog} title=${t('images.pull')} onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>${t('image')}</span><input value=${name} onInput=${(e) => setName(e.target.value)} placeholder="registry/repository:tag" spellcheck=${false} autocapitalize="none" required pattern=".*\\S.*" autofocus /></label>
    <${Credentials} value=${auth} onChange=${setAuth} registry=${registryOf(name.trim())} />
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('images.pull')}</button></div></form></${Dialog}>`;
}

/** @param {{image: any, onClose: () => void}} props */
export function Push({ image, onClose }) {
  const tags = image.RepoTags ?? [];
  const [name, setName] = useState(tags[0] ?? '');
  const [auth, setAuth] = useState({ user: '', password: '' });
  const submit = async (event) => {
    event.preventDefault();
    const [repo, tag] = nameAndTag(name.trim());
    onClose();
    startJob(t('images.pushing', { name: name.trim() }), async (signal) => {
      /* Under a name it does not bear yet it is tagged first, as one would by hand. */
      if (!tags.includes(repo + ':' + (tag || 'latest'))) await send('POST', `${DOCKER}/images/${encodeURIComponent(image.Id)}/tag`, { query: { repo, tag: tag || 'latest' }, signal });
      return send('POST', `${DOCKER}/images/${repo.split('/').map(encodeURIComponent).join('/')}/push`, { query: { tag: tag || 'latest' }, headers: authHeader(repo, auth), signal });
    });
  };
  return html`<${Dialog} title=${t('images.push.title', { name: visible(tags[0] ?? image.Id) })} onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>${t('images.push.to')}</span><input list="push-names" value=${name} onInput=${(e) => setName(e.target.value)} placeholder="registry:5000/repository:tag" spellcheck=${false} autocapitalize="none" required pattern=".*\\S.*" autofocus /></label>
    <datalist id="push-names">${tags.map((one) => html`<option key=${one} value=${one} />`)}</datalist><small>${t('images.push.hint')}</small>
    <${Credentials} value=${auth} onChange=${setAuth} registry=${registryOf(name.trim())} />
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('images.push')}</button></div></form></${Dialog}>`;
}

/** @param {{onClose: () => void, items?: import('../../app/context.js').Item[]}} props items: what was dropped already */
export function Build({ onClose, items: dropped = [] }) {
  const [items, setItems] = useState(dropped);
  const [from, setFrom] = useState(dropped.length ? 'files' : 'files');
  const [text, setText] = useState('FROM tabique/base\n');
  const [form, setForm] = useState({ name: '', dockerfile: 'Dockerfile', target: '', args: '', noCache: false, pull: false });
  const [over, setOver] = useState(false);
  const [error, setError] = useState('');
  const folder = useRef(/** @type {HTMLInputElement} */ (null)), files = useRef(/** @type {HTMLInputElement} */ (null));
  const change = (patch) => setForm({ ...form, ...patch });
  const archive = items.length === 1 && isArchive(items[0].name);
  const has = archive || items.some(({ name }) => name === form.dockerfile);
  const submit = async (event) => {
    event.preventDefault();
    let raw, type = 'application/x-tar';
    if (from === 'text') raw = tar([{ name: form.dockerfile, data: new TextEncoder().encode(text) }]);
    else if (archive) raw = items[0].data;
    else {
      if (!has) return setError(t('build.noDockerfile', { name: form.dockerfile }));
      const kept = await wanted(items, form.dockerfile);
      raw = tar(kept.items.map(({ name, data }) => ({ name, data, time: data instanceof File ? data.lastModified : Date.now(), mode: /\.sh$/.test(name) ? 0o755 : 0o644 })));
    }
    const args = Object.fromEntries(form.args.split('\n').filter((line) => line.includes('=')).map((line) => [line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1)]));
    onClose();
    startJob(t('build.running', { name: form.name || form.dockerfile }), (signal) => send('POST', `${DOCKER}/build`, {
      query: { t: form.name.trim(), dockerfile: form.dockerfile, target: form.target, nocache: form.noCache || undefined, pull: form.pull || undefined, rm: true, forcerm: true, buildargs: Object.keys(args).length ? args : undefined }, raw, type, signal }));
  };
  const drop = async (event) => { event.preventDefault(); setOver(false); setFrom('files'); setError(''); setItems(await droppedItems(event.dataTransfer)); };
  const sum = items.reduce((all, { data }) => all + data.size, 0);
  const pick = (event) => { setItems(pickedItems(event.target.files)); setError(''); event.target.value = ''; };
  return html`<${Dialog} wide=${true} title=${t('build.title')} onClose=${onClose}><form onSubmit=${submit}>
    <div class="two"><label class="field"><span>${t('build.name')}</span><input value=${form.name} onInput=${(e) => change({ name: e.target.value })} placeholder="repository:tag" spellcheck=${false} autocapitalize="none" autofocus /></label>
      <label class="field"><span>Dockerfile</span><input value=${form.dockerfile} required onInput=${(e) => change({ dockerfile: e.target.value })} spellcheck=${false} autocapitalize="none" /></label></div>
    <div class="field"><span>${t('build.context')}</span><${Choice} label=${t('build.context')} value=${from} onChange=${setFrom} options=${[['files', t('build.files')], ['text', t('build.text')]]} /></div>
    ${from === 'text' ? html`<label class="field"><span class="hidden">${t('build.text')}</span><textarea rows="9" spellcheck=${false} value=${text} onInput=${(e) => setText(e.target.value)}></textarea></label>`
      : html`<div class=${'drop-zone' + (over ? ' over' : '')} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
        ${items.length ? html`<p><strong>${archive ? visible(items[0].name) : t('build.count', { n: items.length })}</strong> <span class="quiet-text">${bytes(sum)}</span></p>${!has && html`<p class="bad-text">${t('build.noDockerfile', { name: form.dockerfile })}</p>`}` : html`<p>${t('build.drop')}</p>`}
        <div class="buttons"><button type="button" onClick=${() => folder.current.click()}><${Icon} name="folder" /> ${t('build.folder')}</button><button type="button" onClick=${() => files.current.click()}><${Icon} name="file" /> ${t('build.pick')}</button></div>
        <input ref=${folder} type="file" hidden webkitdirectory multiple aria-label=${t('build.folder')} onChange=${pick} /><input ref=${files} type="file" hidden multiple aria-label=${t('build.pick')} onChange=${pick} /></div>`}
    <details><summary>${t('build.more')}</summary><div class="two"><label class="field"><span>${t('build.args')}</span><textarea rows="2" placeholder="KEY=value" spellcheck=${false} value=${form.args} onInput=${(e) => change({ args: e.target.value })}></textarea><small>${t('create.perLine')}</small></label>
      <label class="field"><span>${t('build.target')}</span><input value=${form.target} onInput=${(e) => change({ target: e.target.value })} spellcheck=${false} /></label></div>
      <div class="toggles"><${Toggle} checked=${form.noCache} onChange=${(noCache) => change({ noCache })}>${t('build.noCache')}</${Toggle}><${Toggle} checked=${form.pull} onChange=${(pull) => change({ pull })}>${t('build.pull')}</${Toggle}></div></details>
    <p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary" disabled=${from === 'files' && !items.length}>${t('build.go')}</button></div></form></${Dialog}>`;
}
