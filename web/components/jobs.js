/* jobs.js - what is under way: a button in the head of the page, and a job from near. */
import { html, useLayoutEffect, useRef } from '../app/html.js';
import { useStore } from '../app/store.js';
import { t, bytes } from '../app/i18n.js';
import { jobs, leave, watched } from '../app/jobs.js';
import { visible } from '../app/text.js';
import { CopyButton, Meter } from './bits.js';
import { Dialog, Menu } from './overlay.js';
import { Icon } from './icons.js';

const part = (job) => {
  let total = 0, current = 0;
  for (const layer of job.layers.values()) { total += layer.total; current += layer.current; }
  return total ? current / total : 0;
};

export function JobsButton() {
  const list = useStore(jobs);
  if (!list.length) return null;
  const running = list.filter((job) => !job.done).length;
  return html`<${Menu} quiet=${false} title=${t('jobs.title')} label=${html`<span class=${'lamp' + (running ? ' busy' : '')} aria-hidden="true"></span><span class="words">${t('jobs.count', { n: running })}</span>`}
    items=${list.map((job) => ({ label: visible(job.title), icon: job.error ? 'warn' : job.done ? 'check' : 'download', run: () => watched.set(job.id) }))} />`;
}

export function JobDialog() {
  const list = useStore(jobs), id = useStore(watched);
  const job = list.find((one) => one.id === id);
  return job ? html`<${Job} job=${job} key=${job.id} />` : null;
}

function Job({ job }) {
  const box = useRef(/** @type {HTMLPreElement} */ (null));
  const end = useRef(true);
  useLayoutEffect(() => { if (box.current && end.current) box.current.scrollTop = box.current.scrollHeight; });
  const whole = part(job);
  const text = visible(job.output.replace(/\u001b\[[0-9;]*m/g, '')).replaceAll('\u240a', '\n').replaceAll('\u240d', '');
  return html`<${Dialog} wide=${true} title=${visible(job.title)} onClose=${() => leave(job.id)}>
    ${job.layers.size > 0 && html`<ul class="layers">${[...job.layers].map(([layer, s]) => html`<li key=${layer}><code>${visible(layer)}</code><span class="cut">${visible(s.status)}</span><${Meter} value=${s.total ? s.current / s.total : /complete|exists|pushed|mounted/i.test(s.status) ? 1 : 0} label=${visible(layer)} /><span class="num">${s.total ? bytes(s.total) : ''}</span></li>`)}</ul>`}
    ${text && html`<pre class="code-box build-output" ref=${box} tabindex="0" role="log" aria-live="off" aria-label=${t('jobs.output')} onScroll=${(e) => { end.current = e.target.scrollTop + e.target.clientHeight > e.target.scrollHeight - 24; }}><code>${text}</code></pre>`}
    <p role="status" class="job-state">${job.error ? html`<${Icon} name="warn" /> <span class="bad-text">${job.error}</span>` : job.done ? html`<${Icon} name="check" /> ${t('images.ready')} ${job.result && html`<code class="cut">${visible(job.result)}</code><${CopyButton} text=${job.result} />`}` : html`${whole > 0 && html`<${Meter} value=${whole} label=${t('jobs.whole')} />`} <span>${visible(job.line) || t('jobs.busy')}</span>`}</p>
    <div class="buttons end">${job.done ? html`<button type="button" class="primary" autofocus onClick=${() => leave(job.id)}>${t('close')}</button>`
      : html`<button type="button" onClick=${() => job.abort.abort()}>${t('cancel')}</button><button type="button" class="primary" onClick=${() => leave(job.id)}>${t('jobs.behind')}</button>`}</div></${Dialog}>`;
}
