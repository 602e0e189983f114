/* runline.js - between a `docker run` line, the form, and the API's call. */

/** @typedef {{image: string, name: string, isolation: string, command: string, env: string[], ports: string[], volumes: string[],
 *   network: string, memory: string, cpus: string, pids: string, restart: string, user: string, workdir: string, hostname: string,
 *   entrypoint: string, tty: boolean, stdin: boolean, init: boolean, readOnly: boolean, autoRemove: boolean, labels: string[],
 *   health: string, start: boolean}} Form */

/** @returns {Form} */
export const emptyForm = () => ({
  image: '', name: '', isolation: 'process', command: '', env: [], ports: [], volumes: [], network: 'bridge', memory: '', cpus: '',
  pids: '', restart: 'no', user: '', workdir: '', hostname: '', entrypoint: '', tty: false, stdin: false, init: false,
  readOnly: false, autoRemove: false, labels: [], health: '', start: true,
});

/** Words of a line, as a POSIX shell would see them. @param {string} line */
export function shellSplit(line) {
  const words = [];
  let word = '', open = false, quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (quote === "'") {
      if (c === "'") quote = ''; else word += c;
    } else if (quote === '"') {
      if (c === '"') quote = '';
      else if (c === '\\' && '"\\$`\n'.includes(line[i + 1] ?? '')) { if (line[++i] !== '\n') word += line[i]; }
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      open = true;
    } else if (c === '\\') {
      if (line[i + 1] === '\n') i++;
      else if (i + 1 < line.length) { word += line[++i]; open = true; }
    } else if (/\s/.test(c)) {
      if (open || word) words.push(word);
      word = '';
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (quote) throw new Error('quote');
  if (open || word) words.push(word);
  return words;
}
export const shellQuote = (word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'");

/* Option -> the form's field; "+" collects, "!" is a switch. */
const options = {
  '--name': 'name', '--isolation': 'isolation', '-e': '+env', '--env': '+env', '-p': '+ports', '--publish': '+ports', '-v': '+volumes',
  '--volume': '+volumes', '--network': 'network', '--net': 'network', '-m': 'memory', '--memory': 'memory', '--cpus': 'cpus',
  '--pids-limit': 'pids', '--restart': 'restart', '-u': 'user', '--user': 'user', '-w': 'workdir', '--workdir': 'workdir',
  '-h': 'hostname', '--hostname': 'hostname', '--entrypoint': 'entrypoint', '-l': '+labels', '--label': '+labels',
  '--health-cmd': 'health', '-t': '!tty', '--tty': '!tty', '-i': '!stdin', '--interactive': '!stdin', '--init': '!init',
  '--read-only': '!readOnly', '--rm': '!autoRemove', '-d': '', '--detach': '',
};

/** @param {string} line @returns {{form: Form, unknown: string[]}} */
export function parseRun(line) {
  const words = shellSplit(line.trim());
  const form = emptyForm();
  const unknown = [];
  while (words[0] && /^(sudo|\$|#)$/.test(words[0])) words.shift();
  if (/(^|\/)docker$/.test(words[0] ?? '')) {
    words.shift();
    while (/^(-H|--host|--context|-c)$/.test(words[0] ?? '')) words.splice(0, 2);
    while ((words[0] ?? '').startsWith('-')) words.shift();
    if (words[0] === 'container') words.shift();
  }
  if (words[0] === 'run') words.shift();
  else if (words[0] === 'create') { words.shift(); form.start = false; }
  else throw new Error('run');
  const put = (option, value) => {
    const field = options[option];
    if (field === undefined) return false;
    if (field === '') return true;
    if (field[0] === '!') form[field.slice(1)] = value === undefined || /^(1|t|true)$/i.test(value);
    else if (field[0] === '+') form[field.slice(1)].push(value);
    else form[field] = value;
    return true;
  };
  while (words.length && /** @type {string} */ (words[0]).startsWith('-') && /** @type {string} */ (words[0]) !== '-') {
    const word = words.shift();
    if (word === '--') break;
    if (word.startsWith('--')) {
      const at = word.indexOf('=');
      const option = at < 0 ? word : word.slice(0, at);
      const field = options[option];
      if (field === undefined) {
        unknown.push(word);
        if (at < 0 && words[0] && !words[0].startsWith('-') && words.length > 1) unknown[unknown.length - 1] += ' ' + words.shift();
      } else put(option, at >= 0 ? word.slice(at + 1) : field === '' || field[0] === '!' ? undefined : words.shift() ?? '');
    } else {
      for (let i = 1; i < word.length; i++) {
        const option = '-' + word[i], field = options[option];
        if (field === undefined) { unknown.push(option); break; }
        if (field === '' || field[0] === '!') { put(option); continue; }
        put(option, word.slice(i + 1).replace(/^=/, '') || (words.shift() ?? ''));
        break;
      }
    }
  }
  form.image = words.shift() ?? '';
  form.command = words.map(shellQuote).join(' ');
  form.isolation = form.isolation.toLowerCase();
  return { form, unknown };
}

/** @param {Form} form */
export function runLine(form) {
  const out = ['docker', form.start ? 'run' : 'create'];
  if (form.start) out.push('-d');
  const add = (option, value) => { if (value) out.push(option, shellQuote(value)); };
  if (form.isolation && form.isolation !== 'process' && form.isolation !== 'default') out.push('--isolation=' + form.isolation);
  add('--name', form.name);
  if (form.tty) out.push('-t');
  if (form.stdin) out.push('-i');
  if (form.init) out.push('--init');
  if (form.readOnly) out.push('--read-only');
  if (form.autoRemove) out.push('--rm');
  if (form.restart && form.restart !== 'no') out.push('--restart=' + form.restart);
  for (const value of form.env) add('-e', value);
  for (const value of form.ports) add('-p', value);
  for (const value of form.volumes) add('-v', value);
  for (const value of form.labels) add('-l', value);
  if (form.network && form.network !== 'bridge') add('--network', form.network);
  add('-m', form.memory);
  add('--cpus', form.cpus);
  add('--pids-limit', form.pids);
  add('-u', form.user);
  add('-w', form.workdir);
  add('-h', form.hostname);
  add('--entrypoint', form.entrypoint);
  add('--health-cmd', form.health);
  out.push(form.image ? shellQuote(form.image) : 'IMAGE');
  return out.join(' ') + (form.command.trim() ? ' ' + form.command.trim() : '');
}

/** "512m" as Docker reads it. @param {string} text @returns {number} NaN when it is none */
export function parseSize(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text);
  if (!found) return NaN;
  return Math.round(Number(found[1]) * 1024 ** ' kmgt'.indexOf(found[2].toLowerCase() || ' '));
}

/** "127.0.0.1:8080:80/udp" @param {string} text */
export function parsePort(text) {
  const found = /^(?:(\[[0-9a-f:]+\]|\d+(?:\.\d+){3}):)?(?:(\d+(?:-\d+)?)?:)?(\d+)(?:\/(tcp|udp))?$/i.exec(text.trim());
  if (!found) return null;
  return { ip: (found[1] ?? '').replace(/[[\]]/g, ''), host: found[2] ?? '', container: found[3] + '/' + (found[4] ?? 'tcp').toLowerCase() };
}

/** The body of POST /containers/create. @param {Form} form */
export function createBody(form) {
  const exposed = {}, bindings = {};
  for (const text of form.ports) {
    const port = parsePort(text);
    if (!port) throw new Error('port:' + text);
    exposed[port.container] = {};
    (bindings[port.container] ??= []).push({ HostIp: port.ip, HostPort: port.host });
  }
  const [policy, retries] = form.restart.split(':');
  const memory = form.memory ? parseSize(form.memory) : 0;
  if (Number.isNaN(memory)) throw new Error('memory:' + form.memory);
  const body = {
    Image: form.image,
    Cmd: form.command.trim() ? shellSplit(form.command) : undefined,
    Entrypoint: form.entrypoint ? shellSplit(form.entrypoint) : undefined,
    Env: form.env.filter(Boolean),
    User: form.user || undefined,
    WorkingDir: form.workdir || undefined,
    Hostname: form.hostname || undefined,
    Tty: form.tty,
    OpenStdin: form.stdin,
    Labels: Object.fromEntries(form.labels.filter(Boolean).map((label) => {
      const at = label.indexOf('=');
      return at < 0 ? [label, ''] : [label.slice(0, at), label.slice(at + 1)];
    })),
    ExposedPorts: exposed,
    Healthcheck: form.health ? { Test: ['CMD-SHELL', form.health] } : undefined,
    HostConfig: {
      Isolation: form.isolation || 'default',
      Binds: form.volumes.filter(Boolean),
      PortBindings: bindings,
      NetworkMode: form.network || 'default',
      Memory: memory || undefined,
      NanoCpus: form.cpus ? Math.round(Number(form.cpus) * 1e9) : undefined,
      PidsLimit: form.pids ? Number(form.pids) : undefined,
      RestartPolicy: { Name: policy, MaximumRetryCount: Number(retries ?? 0) },
      Init: form.init || undefined,
      ReadonlyRootfs: form.readOnly,
      AutoRemove: form.autoRemove,
    },
  };
  return body;
}

const size = (bytes) => (bytes % 1073741824 === 0 ? bytes / 1073741824 + 'g' : bytes % 1048576 === 0 ? bytes / 1048576 + 'm' : String(bytes));
/** The form that would make such a container again. @param {any} inspect Docker's @returns {Form} */
export function formOf(inspect) {
  const config = inspect.Config ?? {}, host = inspect.HostConfig ?? {};
  const policy = host.RestartPolicy?.Name || 'no', retries = host.RestartPolicy?.MaximumRetryCount;
  const bindings = Object.entries(host.PortBindings ?? {}).flatMap(([inner, list]) => (list ?? []).map((b) => {
    const ip = b.HostIp && b.HostIp !== '0.0.0.0' ? (b.HostIp.includes(':') ? `[${b.HostIp}]` : b.HostIp) + ':' : '';
    return ip + (b.HostPort || ip ? b.HostPort + ':' : '') + inner.replace(/\/tcp$/, '');
  }));
  const volumes = (inspect.Mounts ?? []).filter((m) => m.Type === 'bind' || (m.Type === 'volume' && !/^[0-9a-f]{64}$/.test(m.Name))).map((m) => `${m.Type === 'volume' ? m.Name : m.Source}:${m.Destination}${m.RW ? '' : ':ro'}`);
  return {
    ...emptyForm(), image: config.Image ?? '', isolation: host.Isolation === 'hyperv' ? 'hyperv' : 'process', command: (config.Cmd ?? []).map(shellQuote).join(' '), env: config.Env ?? [], ports: bindings, volumes,
    network: !host.NetworkMode || host.NetworkMode === 'default' ? 'bridge' : host.NetworkMode, memory: host.Memory ? size(host.Memory) : '', cpus: host.NanoCpus ? String(host.NanoCpus / 1e9) : '', pids: host.PidsLimit > 0 ? String(host.PidsLimit) : '',
    restart: policy + (retries ? ':' + retries : ''), user: config.User ?? '', workdir: config.WorkingDir === '/' ? '' : config.WorkingDir ?? '', hostname: config.Hostname && !inspect.Id?.startsWith(config.Hostname) ? config.Hostname : '',
    entrypoint: (config.Entrypoint ?? []).map(shellQuote).join(' '), tty: !!config.Tty, stdin: !!config.OpenStdin, init: !!host.Init, readOnly: !!host.ReadonlyRootfs, autoRemove: !!host.AutoRemove,
    labels: Object.entries(config.Labels ?? {}).map(([key, value]) => key + '=' + value), health: config.Healthcheck?.Test?.[0] === 'CMD-SHELL' ? config.Healthcheck.Test[1] : '',
  };
}
