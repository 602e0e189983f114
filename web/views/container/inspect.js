/* inspect.js - everything that is known, as a tree or raw. */
import { html, useState } from '../../app/html.js';
import { t } from '../../app/i18n.js';
import { setQuery } from '../../app/router.js';
import { fold, visible } from '../../app/text.js';
import { Choice, CopyButton, Filterbar, Search } from '../../components/bits.js';

function holds(value, text) {
  if (value === null || typeof value !== 'object') return fold(value).includes(text);
  return Object.entries(value).some(([key, inner]) => fold(key).includes(text) || holds(inner, text));
}

function Node({ name, value, text, depth }) {
  const [open, setOpen] = useState(depth < 1);
  if (value === null || typeof value !== 'object') return html`<li><span class="json-key">${visible(name)}</span> <span class=${'json-' + typeof value}>${value === null ? 'null' : typeof value === 'string' ? visible(value) || '""' : String(value)}</span></li>`;
  const entries = Object.entries(value).filter(([key, inner]) => !text || fold(key).includes(text) || holds(inner, text));
  return html`<li><details open=${open || !!text} onToggle=${(e) => setOpen(e.target.open)}><summary><span class="json-key">${visible(name)}</span> <small class="quiet-text">${Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`}</small></summary>
    ${(open || text) && html`<ul>${entries.map(([key, inner]) => html`<${Node} key=${key} name=${key} value=${inner} text=${text} depth=${depth + 1} />`)}</ul>`}</details></li>`;
}

export default function Inspect({ inspect, query }) {
  const raw = query.raw === '1';
  if (!inspect) return html`<p class="late quiet-text">${t('loading')}</p>`;
  const json = JSON.stringify(inspect, null, 2);
  return html`<${Filterbar}><${Search} value=${query.q ?? ''} label=${t('inspect.search')} onChange=${(q) => setQuery({ q })} />
      <${Choice} label=${t('inspect.as')} value=${raw ? '1' : ''} onChange=${(v) => setQuery({ raw: v })} options=${[['', t('inspect.tree')], ['1', 'JSON']]} /><${CopyButton} text=${json} label=${t('inspect.copy')} /></${Filterbar}>
    <div class="scroll" tabindex="0" role="region" aria-label=${t('tab.inspect')}>${raw ? html`<pre class="code-box"><code>${visible(json).replaceAll('\u240a', '\n')}</code></pre>` : html`<ul class="json">${Object.entries(inspect).filter(([key, value]) => !query.q || fold(key).includes(fold(query.q)) || holds(value, fold(query.q))).map(([key, value]) => html`<${Node} key=${key} name=${key} value=${value} text=${fold(query.q ?? '')} depth=${0} />`)}</ul>`}</div>`;
}
