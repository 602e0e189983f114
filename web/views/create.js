/* create.js - a container from an image, behind the wall one chooses; with the
 * equal command line beside it, both ways. */
import { html, useEffect, useMemo, useState } from '../app/html.js';
import { t } from '../app/i18n.js';
import { docker, tabique, DOCKER } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useInfo } from '../app/sources.js';
import { go, link } from '../app/router.js';
import { can } from '../app/session.js';
import { visible } from '../app/text.js';
import { createBody, emptyForm, formOf, parseRun, runLine } from '../app/runline.js';
import { CopyButton, Empty, Head, Select, Toggle } from '../components/bits.js';
import { WallGlyph } from '../components/wall.js';
import { toast } from '../components/overlay.js';

export default function Create({ query }) {
  const info = useInfo();
  const images = useLive('images', docker.images, { interval: 0 });
  const networks = useLive('networks', docker.networks, { interval: 0 });
  const [form, setForm] = useState({ ...emptyForm(), image: query.image ?? '', isolation: query.isolation ?? 'process', volumes: query.volume ? [query.volume + ':/' + query.volume.slice(0, 12)] : [] });
  const [pasted, setPasted] = useState('');
  const [unknown, setUnknown] = useState(/** @type {string[]} */ ([]));
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const [call, setCall] = useState(false);
  const change = (patch) => setForm((old) => ({ ...old, ...patch }));
  /* Another like it: all but its name. */
  useEffect(() => { if (query.from && can('operate')) docker.inspect(query.from).then((inspect) => setForm(formOf(inspect)), (problem) => setError(problem.message)); }, [query.from]);
  const names = (images.data ?? []).flatMap((image) => image.RepoTags ?? []);
  useEffect(() => { if (!form.image && names.length) change({ image: names.find((n) => n.startsWith('tabique/base')) ?? names[0] }); }, [images.data]);
  const body = useMemo(() => { try { return createBody(form); } catch (problem) { return { problem: problem.message }; } }, [form]);
  if (!can('operate')) return html`<div class="view"><${Head} title=${t('create.title')} back="/containers" /><${Empty} title=${t('create.denied')} text=${t('create.denied.text')} /></div>`;

  const paste = (text) => {
    setPasted(text);
    if (!text.trim()) return setUnknown([]);
    try {
      const parsed = parseRun(text);
      setForm(parsed.form);
      setUnknown(parsed.unknown);
      setError('');
    } catch (problem) { setError(t(problem.message === 'quote' ? 'create.badQuote' : 'create.notRun')); }
  };
  const submit = async (event) => {
    event.preventDefault();
    setError('');
    setBusy(true);
    let made;
    try {
      made = await docker.create(form.name, createBody(form));
      if (form.start) await docker.start(made.Id);
      refreshAll('containers');
      const c = await tabique.container(made.Id);
      toast(t(form.start ? 'done.started' : 'done.create', { name: visible(c.name) }));
      go(link(form.start ? '/compare/' + encodeURIComponent(c.name) : '/containers/' + encodeURIComponent(c.name)));
    } catch (problem) {
      const [what, value] = String(problem.message).split(/:(.*)/);
      setError(what === 'port' ? t('create.badPort', { value }) : what === 'memory' ? t('create.badMemory', { value }) : made ? t('create.madeNotStarted', { message: problem.message }) : problem.message);
      setBusy(false);
    }
  };
  const walls = info.data?.walls ?? [];
  const field = (name, label, extra = {}, hint = '') => html`<label class="field"><span>${label}</span><input value=${form[name]} onInput=${(e) => change({ [name]: e.target.value })} spellcheck=${false} autocapitalize="none" autocomplete="off" ...${extra} />${hint && html`<small>${hint}</small>`}</label>`;
  const many = (name, label, placeholder, hint) => html`<label class="field"><span>${label}</span><textarea rows=${Math.max(2, form[name].length + 1)} placeholder=${placeholder} spellcheck=${false} value=${form[name].join('\n')} onInput=${(e) => change({ [name]: e.target.value.split('\n').map((v) => v.trimStart()).filter((v, i, a) => v || i < a.length - 1) })}></textarea><small>${hint}</small></label>`;
  return html`<div class="view scroll"><${Head} title=${t('create.title')} back="/containers" />
    <form class="create" onSubmit=${submit}>
      <div class="create-main">
        <fieldset class="card"><legend>${t('create.what')}</legend>
          <label class="field"><span>${t('image')}</span><input list="images" required value=${form.image} onInput=${(e) => change({ image: e.target.value })} spellcheck=${false} autocapitalize="none" /></label>
          <datalist id="images">${names.map((n) => html`<option key=${n} value=${n} />`)}</datalist>
          <div class="two">${field('name', t('name'), { placeholder: t('create.nameHint'), pattern: '[a-zA-Z0-9][a-zA-Z0-9_.\\-]*' })}${field('command', t('command'), { placeholder: 'ping localhost' })}</div></fieldset>
        <fieldset class="card"><legend>${t('create.wall')}</legend><div class="walls">${['process', 'hyperv'].map((name) => {
          const wall = walls.find((w) => w.name === name);
          const off = wall && !wall.available;
          return html`<label key=${name} class=${'wall-choice' + (form.isolation === name ? ' chosen' : '') + (off ? ' off' : '')}><input type="radio" name="wall" checked=${form.isolation === name} disabled=${off} onChange=${() => change({ isolation: name })} /><${WallGlyph} isolation=${name} size=${40} />
            <span><strong>${t('wall.' + name)}</strong><span>${t('wall.' + name + '.gives')}</span><small>${off ? t('wall.unavailable', { reason: visible(wall.reason ?? '') }) : t('wall.' + name + '.costs')}${wall?.accelerator === 'tcg' ? ' ' + t('wall.tcg') : ''}</small></span></label>`;
        })}</div></fieldset>
        <details class="card" open=${form.env.length + form.ports.length + form.volumes.length > 0 || undefined}><summary>${t('create.more')}</summary>
          <div class="two">${many('env', t('create.env'), 'KEY=value', t('create.perLine'))}${many('ports', t('ports'), '8080:80', t('create.portHint'))}</div>
          <div class="two">${many('volumes', t('nav.volumes'), 'data:/var/lib/data', t('create.volumeHint'))}${many('labels', t('create.labels'), 'team=desk', t('create.perLine'))}</div>
          <div class="two"><div class="field"><span>${t('network')}</span><${Select} label=${t('network')} value=${form.network} onChange=${(network) => change({ network })} options=${[...new Set(['bridge', 'host', 'none', ...(networks.data ?? []).map((n) => n.Name), form.network])].map((n) => [n, visible(n)])} /></div>
            <div class="field"><span>${t('create.restart')}</span><${Select} label=${t('create.restart')} value=${form.restart} onChange=${(restart) => change({ restart })} options=${[...new Set(['no', 'always', 'unless-stopped', 'on-failure', form.restart])].map((p) => [p, ['no', 'always', 'unless-stopped', 'on-failure'].includes(p) ? t('restart.' + p) : p])} /></div></div></details>
        <details class="card"><summary>${t('create.limits')}</summary><div class="two">${field('memory', t('memory'), { placeholder: '512m' })}${field('cpus', t('cpu'), { placeholder: '1.5', inputmode: 'decimal' })}</div><div class="two">${field('pids', t('processes'), { placeholder: '200', inputmode: 'numeric' })}${field('health', t('create.health'), { placeholder: 'nc -z localhost 80' })}</div></details>
        <details class="card"><summary>${t('create.process')}</summary><div class="two">${field('user', t('process.user'), { placeholder: '1000:1000' })}${field('workdir', t('create.workdir'), { placeholder: '/srv' })}</div><div class="two">${field('hostname', t('create.hostname'))}${field('entrypoint', t('create.entrypoint'))}</div>
          <div class="toggles"><${Toggle} checked=${form.tty} onChange=${(tty) => change({ tty })}>${t('create.tty')}</${Toggle}><${Toggle} checked=${form.stdin} onChange=${(stdin) => change({ stdin })}>${t('create.stdin')}</${Toggle}><${Toggle} checked=${form.init} onChange=${(init) => change({ init })}>${t('create.init')}</${Toggle}><${Toggle} checked=${form.readOnly} onChange=${(readOnly) => change({ readOnly })}>${t('create.readOnly')}</${Toggle}><${Toggle} checked=${form.autoRemove} onChange=${(autoRemove) => change({ autoRemove })}>${t('create.autoRemove')}</${Toggle}></div></details>
      </div>
      <div class="create-side"><section class="card">
        <h2>${t('create.line')}</h2><div class="code-box"><code>${visible(runLine(form))}</code><${CopyButton} text=${runLine(form)} /></div>
        <label class="field"><span>${t('create.paste')}</span><textarea rows="3" spellcheck=${false} value=${pasted} placeholder="docker run -d --isolation=hyperv tabique/base ping localhost" onInput=${(e) => paste(e.target.value)}></textarea></label>
        ${unknown.length > 0 && html`<p class="problem"><span>${t('create.unknown', { options: unknown.join(', ') })}</span></p>`}
        <button type="button" aria-expanded=${call ? 'true' : 'false'} onClick=${() => setCall(!call)}>${t('create.call')}</button>
        ${call && html`<pre class="code-box"><code>${'POST ' + DOCKER + '/containers/create' + (form.name ? '?name=' + encodeURIComponent(form.name) : '') + '\n' + visible(JSON.stringify(body, null, 2)).replaceAll('\u240a', '\n')}</code></pre>`}
        <p class="form-error" role="alert">${error}</p>
        <${Toggle} checked=${form.start} onChange=${(start) => change({ start })}>${t('create.start')}</${Toggle}>
        <button type="submit" class="primary block" disabled=${busy || !form.image}>${busy ? t('create.busy') : form.start ? t('create.goStart') : t('create.go')}</button>
      </section></div>
    </form></div>`;
}
