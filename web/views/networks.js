/* networks.js - networks, and who is on which. */
import { html, useMemo } from '../app/html.js';
import { t } from '../app/i18n.js';
import { docker } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { link } from '../app/router.js';
import { visible } from '../app/text.js';
import { Fact, Head, Problem } from '../components/bits.js';
import { WallBadge } from '../components/wall.js';
import { portsText } from './containers.js';

export default function Networks() {
  const live = useLive('networks', docker.networks, { interval: 5000 });
  const containers = useContainers();
  const networks = useMemo(() => [...(live.data ?? [])].sort((a, b) => a.Name.localeCompare(b.Name)), [live.data]);
  const on = (network) => (containers.data?.containers ?? []).filter((c) => c.networks.some((n) => n.name === network.Name));
  return html`<div class="view scroll"><${Head} title=${t('nav.networks')} sub=${live.data ? t('networks.count', { n: networks.length }) : ''} />
    <${Problem} error=${live.error} stale=${live.stale} />
    <div class="network-map">${networks.map((network) => {
      const members = on(network);
      const subnet = (network.IPAM?.Config ?? []).map((c) => c.Subnet).filter(Boolean).join(', ');
      return html`<section class="card network" key=${network.Id} aria-label=${visible(network.Name)}>
        <h2>${visible(network.Name)}</h2>
        <dl class="facts"><${Fact} label=${t('networks.driver')}>${visible(network.Driver)}</${Fact}>${subnet && html`<${Fact} label=${t('networks.subnet')}><span class="mono">${subnet}</span></${Fact}>`}<${Fact} label=${t('networks.members')}>${members.length}</${Fact}></dl>
        ${members.length ? html`<ul class="members">${members.map((c) => html`<li key=${c.id} class=${c.state === 'running' ? '' : 'dim'}><a href=${link('/containers/' + encodeURIComponent(c.name))}>${visible(c.name)}</a><${WallBadge} isolation=${c.isolation} word=${false} /><span class="mono address">${c.networks.find((n) => n.name === network.Name)?.ip || '–'}</span><span class="mono quiet-text">${portsText(c.ports)}</span></li>`)}</ul>` : html`<p class="quiet-text">${t('networks.nobody')}</p>`}
      </section>`;
    })}</div></div>`;
}
