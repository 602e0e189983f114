/* compare.js - container and host, side by side: what is the same process, what
 * only one side sees, and why. Now, or at a moment that is past. */
import { html, memo, useEffect, useMemo, useRef, useState } from '../app/html.js';
import { t, has, bytes, dateTime, language, percent, number } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive, useNow } from '../app/live.js';
import { useNames } from '../app/sources.js';
import { link, setQuery, go } from '../app/router.js';
import { can } from '../app/session.js';
import { csv, visible, imageName } from '../app/text.js';
import { chosenText, difference, diffText, rowKey, searchSides, sentenceOf, ticketText } from '../app/processes.js';
import { useFolded } from '../app/folds.js';
import { useCommands } from '../app/keys.js';
import { settings } from '../app/settings.js';
import { useStore } from '../app/store.js';
import { Choice, CopyButton, Empty, Head, Problem, Search, Toggle, copyText, saveAs, useChosen, useFresh, Select } from '../components/bits.js';
import { Menu, attempt, confirm, toast } from '../components/overlay.js';
import { Pane, PaneColumns, Wall, useSide } from '../components/panes.js';
import { HEAD_HEIGHT } from '../components/table.js';
import { TimeSlider, spans } from '../components/slider.js';
import { StateBadge, WallBadge, WallGlyph } from '../components/wall.js';
import { Icon } from '../components/icons.js';

/** One comparison, live or of a moment; the last one stays until the next is here. */
function useComparison(id, scope, at) {
  const key = id ? ['comparison', id, scope, at] : null;
  const live = useLive(key, () => tabique.comparison(id, { scope, at: at ? new Date(at).toISOString() : undefined }),
    { interval: at ? 0 : 1000, topic: at || !id ? null : { topic: 'comparison', container: id, scope } });
  const last = useRef(/** @type {any} */ ({ id: null, data: null }));
  if (live.data) last.current = { id, data: live.data };
  const kept = last.current.id === id ? last.current.data : null;
  return { ...live, data: live.data ?? kept, waiting: !live.data && !!kept };
}

const moment = (text) => { const time = text ? Date.parse(text) : NaN; return Number.isNaN(time) ? null : time; };

export default function Compare({ id = '', query }) {
  const { names: list, known } = useNames();
  useEffect(() => {
    if (id || !list.length) return;
    const first = list.find((c) => c.state === 'running') ?? list[0];
    go(link('/compare/' + encodeURIComponent(first.name), query), { replace: true });
  }, [id, list]);
  if (!id) return known && !list.length
    ? html`<div class="view"><${Head} title=${t('nav.compare')} /><${Empty} title=${t('compare.nothing')} text=${t('compare.nothing.text')}><a class="button primary" href=${link('/containers/new')}>${t('create.title')}</a></${Empty}></div>`
    : html`<div class="view"><${Head} title=${t('nav.compare')} /></div>`;
  return html`<${Comparison} id=${id} query=${query} containers=${list} />`;
}

/* What the list of containers tells every second is nothing to a comparison, as long as they are called and stand as before. */
const Comparison = memo(({ id, query, containers }) => {
  const now = useNow(5000);
  const { kernelThreads } = useStore(settings);
  const at = moment(query.at), pin = moment(query.pin);
  const scope = query.others === 'shown' ? 'host' : 'container';
  const one = useComparison(id, scope, at);
  const two = useComparison(query.with || '', 'container', at);
  const before = useComparison(pin ? id : '', 'container', pin);
  const tree = query.flat !== '1', sort = query.sort ?? 'pid', search = query.q ?? '';
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(10);
  const [lit, setLit] = useState(/** @type {string|null} */ (null));
  const { folded: closed, toggle } = useFolded(query.fold);
  const span = spans[query.span] ? query.span : '1h';

  /* The stretch in view stands still while one looks back. */
  const frozen = useRef(/** @type {any} */ (null));
  const range = useMemo(() => {
    const width = spans[span];
    if (at !== null && frozen.current?.span === span && at >= frozen.current.since && at <= frozen.current.until) return frozen.current;
    const end = Math.ceil(Date.now() / 5000) * 5000;
    const until = at !== null && at < end - width ? Math.min(end, at + width / 2) : end;
    return (frozen.current = { span, since: until - width, until });
  }, [span, at === null ? now : at]);
  const marks = useLive(['marks', id, span, at !== null ? range.until : 0], () => tabique.marks({ container: id, since: new Date(range.since).toISOString(), until: new Date(range.until).toISOString(), buckets: 240 }), { interval: at === null ? 5000 : 0 });
  const lastMarks = useRef(/** @type {any} */ (null));
  if (marks.data) lastMarks.current = marks.data;

  const data = one.data;
  const isolation = data?.container.isolation ?? containers.find((c) => c.name === id || c.id === id)?.isolation ?? 'process';
  const rows = useMemo(() => (data?.rows ?? []).filter((row) => kernelThreads || !row.host?.kernelThread), [data, kernelThreads]);
  const secondRows = useMemo(() => two.data?.rows ?? [], [two.data]);
  const hostRows = useMemo(() => {
    if (!query.with) return rows;
    const known = new Map(rows.filter((row) => row.host).map((row) => [row.host.pid + row.host.startedAt, row]));
    const out = rows.filter((row) => row.host);
    for (const row of secondRows) {
      if (!row.host) continue;
      const same = known.get(row.host.pid + row.host.startedAt);
      if (same && same.relation === 'host-only') out[out.indexOf(same)] = row;
      else if (!same) out.push(row);
    }
    return out;
  }, [rows, secondRows, query.with]);
  const how = { tree, sort, search, closed };
  const left = useSide(rows, 'container', how), host = useSide(hostRows, 'host', how), right = useSide(secondRows, 'container', how);
  const fresh = useFresh(rows, rowKey, !!data && at === null);
  const found = useMemo(() => searchSides(rows, search), [rows, search]);
  const diff = useMemo(() => {
    if (!pin || !before.data || !data) return null;
    const current = data.rows.filter((row) => row.container), past = before.data.rows.filter((row) => row.container);
    return pin <= (at ?? Date.now()) ? difference(past, current) : difference(current, past);
  }, [pin, before.data, data]);
  const diffMarks = useMemo(() => {
    const map = new Map();
    diff?.born.forEach((row) => map.set(rowKey(row), 'born'));
    diff?.ended.forEach((row) => map.set(rowKey(row), 'ended'));
    return map;
  }, [diff]);

  const leftApi = useRef(null), hostApi = useRef(null), rightApi = useRef(null), drawOne = useRef(null), drawTwo = useRef(null);
  const redraw = () => { drawOne.current?.(); drawTwo.current?.(); };
  const everyRow = useMemo(() => [...rows, ...secondRows], [rows, secondRows]);
  const { chosen: current, key: chosenKey, gone, choose } = useChosen(everyRow, rowKey, query.p, !!data);
  /* On the other side it is brought to the same height. */
  useEffect(() => {
    const key = chosenKey;
    if (!key) return;
    const apis = [leftApi, hostApi, rightApi].map((ref) => ref.current).filter((api) => api && api.y(key) !== null);
    const seen = (api) => api.y(key) > HEAD_HEIGHT && api.y(key) < api.height();
    const first = apis.find(seen);
    for (const api of apis) if (!seen(api)) { if (first) api.level(key, first.y(key)); else api.reveal(key); }
  }, [chosenKey]);
  /* Among the host's hundreds, the container's own come into view first. */
  const levelled = useRef('');
  useEffect(() => {
    const own = scope === 'host' && host.length ? left.find((e) => e.row.relation === 'same') : null;
    if (!own) { if (scope !== 'host') levelled.current = ''; return; }
    if (levelled.current === id) return;
    levelled.current = id;
    const key = rowKey(own.row), y = leftApi.current?.y(key);
    requestAnimationFrame(() => { if (y != null && y > 0) hostApi.current?.level(key, y); });
  }, [scope, id, host.length > 0 && data?.rows.length]);
  const sentence = data ? sentenceOf(data, t, has) : '';
  const second = query.with && two.data ? sentenceOf(two.data, t, has) : '';
  const ticket = () => [data, ...(second ? [two.data] : [])].map((one, i) => ticketText(one, t, i ? second : sentence, i || !second ? shareLink() : '', i ? [] : notes())).join('\n');
  /* What one looks at: the process that is chosen, and what changed between the two moments. */
  const notes = () => [...(current ? [chosenText(current, t)] : []), ...(diff ? diffText(diff, t, t('diff.between', { from: dateTime(Math.min(pin, at ?? Date.now())), to: at === null ? dateTime(data.sampledAt) : dateTime(Math.max(pin, at)) })) : [])];
  const shareLink = () => globalThis.location.origin + link('/compare/' + encodeURIComponent(id), { ...query, p: chosenKey ?? '', at: new Date(at ?? Date.parse(data.sampledAt)).toISOString() });
  const exported = () => csv(['container', 'relation', 'containerPid', 'hostPid', 'name', 'command', 'user', 'state', 'threads', 'cpuPercent', 'memoryBytes', 'startedAt'],
    [data, ...(second ? [two.data] : [])].flatMap((one) => one.rows.map((row) => { const p = row.container ?? row.host; return [one.container.name, row.relation, row.container?.pid, row.host?.pid, p.name, p.command, p.user, p.state, p.threads, p.cpuPercent, p.memoryBytes, p.startedAt]; })));
  const stampName = () => `compare-${data.container.name}-${String(data.sampledAt).replace(/[:.]/g, '').slice(0, 15)}`;
  const setAt = (time) => setQuery({ at: time === null ? '' : new Date(time).toISOString() });
  const pinNow = () => setQuery({ pin: pin ? '' : new Date(at ?? Date.now()).toISOString() });
  useCommands([
    { keys: 'o', label: t('compare.others'), run: () => setQuery({ others: scope === 'host' ? '' : 'shown' }) },
    { keys: 't', label: t('compare.tree'), run: () => setQuery({ flat: tree ? '1' : '' }) },
    { keys: 'p', label: playing ? t('slider.pause') : t('slider.play'), run: () => { if (!playing && at === null) setAt(range.since); setPlaying(!playing); } },
    { keys: 'l', label: t('slider.goLive'), run: () => { setPlaying(false); setAt(null); } },
    { keys: 'd', label: t('diff.pin'), run: pinNow },
    { keys: 'y', label: t('compare.ticket'), run: () => { if (data) copyText(ticket(), t('compare.ticket.done')); } },
    { keys: '[', label: t('compare.focusLeft'), run: () => leftApi.current?.focus() },
    { keys: ']', label: t('compare.focusRight'), run: () => hostApi.current?.focus() },
  ]);
  const wallLabel = t('compare.wall.' + (isolation === 'hyperv' ? 'hyperv' : 'process'));
  const paneProps = { lit, chosen: chosenKey, onHover: setLit, onChoose: choose, closed, sort, fresh, marks: diffMarks, moment: at,
    onClose: toggle,
    onSort: (key) => setQuery({ sort: key, flat: '1' }), onView: redraw, loading: one.loading && !data };
  const emptySide = (side) => found.text ? html`<span class="not-here">${t(side === 'container' ? 'search.notInside' : 'search.notOnHost', { text: visible(search) })}</span>`
    : side === 'container' ? t('compare.empty.' + (data?.container.state === 'running' ? 'running' : 'stopped')) : isolation === 'hyperv' ? t('compare.empty.host.vm') : t('compare.empty.host');
  const others = containers.filter((c) => c.name !== id && c.id !== id);
  const choices = useMemo(() => containers.map((c) => [c.name, `${visible(c.name)} · ${t('wall.' + c.isolation)}${c.state === 'running' ? '' : ' · ' + t('state.' + c.state)}`]), [containers, language.get()]);
  const seconds = useMemo(() => [['', t('compare.onlyHost')], ...choices], [choices]);
  const picker = (value, onChange, label, options) => html`<${Select} label=${label} value=${value} onChange=${onChange} options=${options} />`;
  const image = (ref) => containers.find((c) => c.name === ref || c.id === ref)?.imageId;
  const sameImage = query.with && image(id) && image(id) === image(query.with);
  const nameOf = containers.find((c) => c.id === id || c.id.startsWith(id) && id.length >= 12)?.name ?? id;

  return html`<div class=${'view compare-view' + (at !== null ? ' past' : '')}>
    <${Head} title=${t('nav.compare')} sub=${html`<span class="compare-pick">${picker(nameOf, (name) => go(link('/compare/' + encodeURIComponent(name), { ...query, with: query.with === name ? '' : query.with })), t('compare.pick'), choices)}
        ${others.length > 0 && html`<span class="quiet-text words">${t('compare.and')}</span>${picker(query.with ?? '', (name) => setQuery({ with: name === nameOf ? '' : name }), t('compare.second'), seconds)}`}</span>`}>
      <button type="button" onClick=${() => data && copyText(ticket(), t('compare.ticket.done'))} title=${t('compare.ticket')} aria-label=${t('compare.ticket')}><${Icon} name="copy" /><span class="words">${t('compare.ticket')}</span></button>
      <${Menu} quiet=${false} title=${t('export')} label=${html`<${Icon} name="download" /><span class="words">${t('export')}</span>`} items=${[
        { label: t('compare.link'), icon: 'link', run: () => data && copyText(shareLink(), t('compare.link.done')) },
        { label: 'CSV', icon: 'download', run: () => data && saveAs(stampName() + '.csv', 'text/csv', exported()) },
        { label: 'JSON', icon: 'download', run: () => data && saveAs(stampName() + '.json', 'application/json', JSON.stringify(second ? [data, two.data] : data, null, 2)) }]} />
    </${Head}>
    <div class=${'sentences' + (second ? ' two-sentences' : '')}>
      <p class="sentence" aria-live="off">${data ? html`<${WallGlyph} isolation=${isolation} size=${22} /><span>${sentence}${!data.boundary.securityBoundary && isolation === 'hyperv' ? ' ' + t('explain.notboundary') : ''}</span>` : !one.error && html`<span class="late">${t('loading')}</span>`}</p>
      ${second && html`<p class="sentence" aria-live="off"><${WallGlyph} isolation=${two.data.container.isolation} size=${22} /><span>${second}${sameImage ? ' ' + t('compare.sameImage', { name: visible(nameOf) }) : ''}</span></p>`}</div>
    <div class="filterbar">
      <${Search} value=${search} label=${t('compare.search')} onChange=${(q) => setQuery({ q })} />
      <output class="found" aria-live="polite">${found.text && html`<span class=${found.container ? 'yes' : 'no'}>${t('search.inside', { n: found.container })}</span><span class=${found.host ? 'yes' : 'no'}>${t('search.onHost', { n: found.host })}</span>${found.same > 0 && html`<span class="yes">${t('search.same', { n: found.same })}</span>`}`}</output>
      <span class="grow"></span>
      <${Choice} label=${t('compare.layout')} value=${tree ? 'tree' : 'flat'} onChange=${(v) => setQuery({ flat: v === 'flat' ? '1' : '' })} options=${[['tree', t('compare.tree'), 'tree'], ['flat', t('compare.flat'), 'list']]} />
      <${Toggle} checked=${scope === 'host'} onChange=${(on) => setQuery({ others: on ? 'shown' : '' })}>${t('compare.others')}</${Toggle}>
      <${PaneColumns} />
      <button type="button" class="pin-button" aria-pressed=${pin ? 'true' : 'false'} title=${pin ? t('diff.unpin') : t('diff.pin')} aria-label=${pin ? t('diff.unpin') : t('diff.pin')} onClick=${pinNow}><${Icon} name="pin" /><span class="words">${pin ? t('diff.unpin') : t('diff.pin')}</span></button>
    </div>
    <${Problem} error=${one.error} stale=${one.stale} />
    ${one.error && /** @type {any} */ (one.error).status === 404 && at === null && html`<p class="problem"><span>${t('container.gone.text')}</span> <a href=${link('/events', { view: 'lives' })}>${t('events.lives')}</a></p>`}
    <div class=${'compare-grid ' + (isolation === 'hyperv' ? 'thick' : 'thin') + (query.with ? ' three' : '') + (one.waiting ? ' waiting' : '') + (search.trim() ? ' searching' : '')}>
      <${Pane} ...${paneProps} side="container" entries=${left} api=${leftApi} label=${t('compare.inside', { name: visible(nameOf) })} empty=${emptySide('container')}
        title=${html`<a href=${link('/containers/' + encodeURIComponent(nameOf))} class="strong">${visible(nameOf)}</a><${WallBadge} isolation=${isolation} word=${!query.with} />`} />
      <${Wall} left=${leftApi} right=${hostApi} leftEntries=${left} rightEntries=${host} isolation=${isolation} lit=${lit} chosen=${chosenKey} worker=${data?.worker} drawer=${drawOne} onHover=${setLit} onChoose=${choose} label=${wallLabel} />
      <${Pane} ...${paneProps} side="host" entries=${host} api=${hostApi} label=${t('compare.onHost')} empty=${emptySide('host')} title=${html`<strong>${t('host')}</strong>`} />
      ${query.with && html`<${Wall} left=${rightApi} right=${hostApi} leftEntries=${right} rightEntries=${host} isolation=${two.data?.container.isolation ?? 'process'} lit=${lit} chosen=${chosenKey} worker=${two.data?.worker} drawer=${drawTwo} onHover=${setLit} onChoose=${choose} label=${wallLabel} mirrored=${true} />
        <${Pane} ...${paneProps} side="container" entries=${right} api=${rightApi} label=${t('compare.inside', { name: visible(query.with) })} empty=${two.error?.message ?? emptySide('container')}
          title=${html`<a class="strong" href=${link('/containers/' + encodeURIComponent(query.with))}>${visible(query.with)}</a><${WallBadge} isolation=${two.data?.container.isolation ?? 'process'} word=${false} />`} />`}
    </div>
    <${Detail} row=${current} gone=${gone && at === null} id=${id} containers=${containers} past=${at !== null} onClose=${() => choose(null)} diff=${diff} pin=${pin} at=${at} onUnpin=${pinNow} data=${data} />
    <${TimeSlider} span=${span} at=${at} range=${range} marks=${lastMarks.current} playing=${playing} speed=${speed} pinned=${pin} onSpan=${(s) => setQuery({ span: s === '1h' ? '' : s })} onAt=${setAt} onPlaying=${setPlaying} onSpeed=${setSpeed} />
  </div>`;
});

/** The strip below: the process that is chosen, or what changed between two moments, or what is counted. */
function Detail({ row, gone, id, containers, past, onClose, diff, pin, at, onUnpin, data }) {
  if (diff) {
    const name = (r) => `${visible((r.container ?? r.host).name)} (${(r.container ?? r.host).pid})`;
    return html`<section class="detail diff" aria-label=${t('diff.title')}><div><h2>${t('diff.title')}</h2>
      <p>${t('diff.between', { from: dateTime(Math.min(pin, at ?? Date.now())), to: at === null ? t('slider.now') : dateTime(Math.max(pin, at)) })}</p></div>
      <div class="diff-lists"><div><span class="tag born">${t('diff.bornCount', { n: diff.born.length })}</span> ${diff.born.slice(0, 30).map(name).join(', ')}</div>
      <div><span class="tag ended">${t('diff.endedCount', { n: diff.ended.length })}</span> ${diff.ended.slice(0, 30).map(name).join(', ')}</div>
      <div><span class="tag">${t('diff.stayedCount', { n: diff.stayed.length })}</span></div></div>
      <button type="button" class="quiet" onClick=${onUnpin}>${t('diff.unpin')}</button></section>`;
  }
  if (!row) return html`<section class="detail" aria-label=${t('compare.detail')}><p class="quiet-text">${data ? t('compare.summary', { same: data.summary.same, inside: data.summary.containerOnly, host: data.summary.hostOnly }) + ' ' : ''}${t('compare.hint')}</p></section>`;
  const p = row.container ?? row.host;
  const owner = row.host?.containerId ? containers.find((c) => c.id === row.host.containerId) : null;
  const foreign = row.relation === 'host-only';
  const signal = async (name) => {
    const ok = name === 'KILL' ? await confirm({ title: t('signal.title', { name: visible(p.name), pid: p.pid }), text: t('signal.kill'), action: t('signal.send', { signal: name }), danger: true }) : true;
    if (ok) attempt(() => tabique.signal(id, p.pid, p.startedAt, name), t('signal.done', { signal: name, name: visible(p.name) }));
  };
  const ask = async () => {
    const answer = await attempt(() => tabique.owner(row.host.pid));
    if (!answer) return;
    if (answer.container) {
      go(link('/compare/' + encodeURIComponent(answer.container.name)));
      toast(t(answer.owner === 'vm' ? 'owner.vm' : 'owner.container', { name: visible(answer.container.name), pid: row.host.pid }));
    } else toast(t('owner.none', { name: visible(p.name), pid: row.host.pid }));
  };
  return html`<section class=${'detail ' + row.relation} aria-label=${t('compare.detail')}>
    <div class="detail-who"><h2>${visible(p.name)}</h2><span class="tag">${t('relation.' + row.relation)}</span>${gone && html`<span class="tag ended">${t('process.gone')}</span>`}
      <p class="detail-why">${foreign ? (owner ? t('why.other', { name: visible(owner.name) }) : t('why.host-only')) : t('why.' + row.relation)}</p></div>
    <div class="detail-body"><dl class="detail-facts">
      <div><dt>${t('process.inside')}</dt><dd class="mono">${row.container?.pid ?? '–'}</dd></div>
      <div><dt>${t('process.onHost')}</dt><dd class="mono">${row.host?.pid ?? '–'}</dd></div>
      <div><dt>${t('process.user')}</dt><dd>${visible(row.container?.user ?? p.user)}</dd></div>
      <div><dt>${t('cpu')}</dt><dd>${past ? '–' : percent(p.cpuPercent)}</dd></div>
      <div><dt>${t('memory')}</dt><dd>${past ? '–' : bytes(p.memoryBytes)}</dd></div>
      <div><dt>${t('process.threads')}</dt><dd>${number(p.threads || 0)}</dd></div>
      <div><dt>${t('process.started')}</dt><dd>${dateTime(p.startedAt)}</dd></div>
    </dl>
    <div class="detail-command"><code>${visible(p.command)}</code><${CopyButton} text=${p.command} /></div></div>
    <div class="buttons">
      ${foreign && !past && html`<button type="button" onClick=${ask}><${Icon} name="eye" /> ${t('owner.ask')}</button>`}
      ${row.container && !past && !gone && can('operate') && html`<${Menu} quiet=${false} title=${t('signal.menu')} label=${html`<${Icon} name="signal" /> ${t('signal.menu')}`} items=${['TERM', 'HUP', 'INT', 'USR1', 'STOP', 'CONT', 'KILL'].map((name) => ({ label: 'SIG' + name, danger: name === 'KILL', run: () => signal(name) }))} />`}
      <button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button>
    </div></section>`;
}
export { imageName, StateBadge };
