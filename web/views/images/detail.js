/* detail.js - one image: what it is, its layers, and what stands on it. */
import { html, useEffect, useState } from '../../app/html.js';
import { t, bytes, dateTime } from '../../app/i18n.js';
import { docker } from '../../app/api.js';
import { link } from '../../app/router.js';
import { visible, shortId } from '../../app/text.js';
import { CopyButton, Fact, Meter, Problem } from '../../components/bits.js';
import { Menu } from '../../components/overlay.js';
import { WallBadge } from '../../components/wall.js';
import { Icon } from '../../components/icons.js';
import { nameOf } from '../images.js';

/** "/bin/sh -c #(nop)  CMD [...]" as it stood in the Dockerfile. */
export const stepOf = (text) => text.replace(/^\/bin\/sh -c #\(nop\)\s*/, '').replace(/^(?:\|\d+ .*?)?\/bin\/sh -c /, 'RUN ').replace(/\s+# buildkit$/, '');

export function Detail({ image, all, users, items, onClose }) {
  const [more, setMore] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let mine = true;
    Promise.all([docker.image(image.Id), docker.imageHistory(image.Id)]).then(([inspect, history]) => mine && setMore({ inspect, history }), (error) => mine && setMore({ error }));
    return () => { mine = false; };
  }, [image.Id]);
  const c = more?.inspect?.Config ?? {};
  const history = more?.history ?? [];
  const most = Math.max(1, ...history.map((h) => h.Size));
  const children = all.filter((one) => one.ParentId && one.ParentId === image.Id);
  return html`<section class="drawer" aria-label=${t('images.detail')}>
    <header class="view-head"><h2>${visible(nameOf(image))}</h2><span class="grow"></span><div class="view-actions"><${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${items} /><button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button></div></header>
    <div class="drawer-columns"><div><dl class="facts">
      <${Fact} label=${t('images.id')}><code>${shortId(image.Id)}</code><${CopyButton} text=${image.Id} /></${Fact}>
      <${Fact} label=${t('images.tags')}>${(image.RepoTags ?? []).map(visible).join(', ') || '–'}</${Fact}>
      ${image.RepoDigests?.length > 0 && html`<${Fact} label=${t('images.digest')}><code>${shortId(image.RepoDigests[0].split('@')[1])}</code><${CopyButton} text=${image.RepoDigests[0]} /></${Fact}>`}
      <${Fact} label=${t('size')}>${bytes(image.Size)}${image.SharedSize > 0 ? ' · ' + t('images.shared', { size: bytes(image.SharedSize) }) : ''}</${Fact}><${Fact} label=${t('created')}>${dateTime(image.Created * 1000)}</${Fact}>
      <${Fact} label=${t('command')}><code>${visible([...(c.Entrypoint ?? []), ...(c.Cmd ?? [])].join(' ')) || '–'}</code></${Fact}>
      <${Fact} label=${t('process.user')}>${visible(c.User || 'root')}</${Fact}>
      ${Object.keys(c.ExposedPorts ?? {}).length > 0 && html`<${Fact} label=${t('ports')}><span class="mono">${Object.keys(c.ExposedPorts).join(' ')}</span></${Fact}>`}
      <${Fact} label=${t('images.platform')}>${more?.inspect ? `${more.inspect.Os}/${more.inspect.Architecture}` : '–'}</${Fact}></dl></div>
    <div class="drawer-wide"><h3>${t('images.layers')} ${more?.inspect && html`<small class="quiet-text">${t('images.layerCount', { n: more.inspect.RootFS?.Layers?.length ?? 0 })}</small>`}</h3>${more?.error ? html`<${Problem} error=${more.error} />` : html`<ol class="history">${history.map((h, i) => html`<li key=${i} class=${h.Size ? '' : 'dim'}><span class="num">${h.Size ? bytes(h.Size) : '–'}</span><${Meter} value=${h.Size / most * 0.74} label=${bytes(h.Size)} /><code class="cut" title=${visible(h.CreatedBy)}>${visible(stepOf(h.CreatedBy || h.Comment || '–'))}</code></li>`)}</ol>`}</div>
    <div><h3>${t('images.users')}</h3>${users.length ? html`<ul class="members">${users.map((u) => html`<li key=${u.id} class=${u.state === 'running' ? '' : 'dim'}><a href=${link('/containers/' + encodeURIComponent(u.name))}>${visible(u.name)}</a><${WallBadge} isolation=${u.isolation} word=${false} /><span class="address quiet-text">${t('state.' + u.state)}</span></li>`)}</ul>` : html`<p class="quiet-text">${t('images.nobody')}</p>`}
      ${children.length > 0 && html`<h3>${t('images.children')}</h3><ul class="members">${children.map((one) => html`<li key=${one.Id}><a href=${link('/images/' + encodeURIComponent(one.Id))}>${visible(nameOf(one))}</a></li>`)}</ul>`}</div></div></section>`;
}
