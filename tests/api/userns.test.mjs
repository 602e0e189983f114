// --userns-remap: a container's root is nobody on the host, and nobody in there notices.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { Server, run } from './lib/server.mjs'

const BASE = 2000000
let dir, server
const docker = (...args) => server.docker(...args)
async function good(...args) {
  const { code, stdout, stderr } = await docker(...args)
  assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-userns-'))
  fs.chmodSync(dir, 0o755)
  fs.writeFileSync(`${dir}/sub`, `somebody:100000:65536\ntabique:${BASE}:1000\ntabique:${BASE + 5000}:64536\n`)
  // The host's own files stay as they are: the server has a mount namespace in which they differ.
  const wrap = ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c',
    `mount --bind ${dir}/sub /etc/subuid && mount --bind ${dir}/sub /etc/subgid && exec "$@"`, 'sh']
  server = await Server.start({ args: ['--userns-remap', 'default', '--vm-pool', '0'], wrap })
})
after(async () => { await server?.stop(); fs.rmSync(dir, { recursive: true, force: true }) })

const owner = (pid) => fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^Uid:\t(\d+)/m)[1]

test('root inside is nobody outside, and two ranges make one', async () => {
  assert.equal(await good('run', '--rm', 'tabique/base', 'sh', '-c', "id -u; cat /proc/self/uid_map | tr -s ' '"),
    `0\n 0 ${BASE} 1000\n 1000 ${BASE + 5000} 64536`)
  const id = await good('run', '-d', '--name', 'run', 'tabique/base', 'sleep', '1000')
  const pid = await good('inspect', '-f', '{{.State.Pid}}', id)
  assert.equal(owner(pid), String(BASE))
  await good('exec', '-u', '1234', 'run', 'true')
  assert.equal(await good('exec', 'run', 'sh', '-c', 'id -u; ls -ldn / /bin/busybox /etc/hosts | awk "{print \\$3,\\$4}" | sort -u'), '0\n0 0')
  assert.equal(await good('exec', '-u', '1234:1234', 'run', 'sh', '-c', 'id -u; id -g; touch /tmp/mine; ls -ln /tmp/mine | awk "{print \\$3}"'),
    '1234\n1234\n1234')
})

test('what an ordinary container does, works', async () => {
  const said = await good('run', '--rm', '-u', '1000', 'tabique/base', 'sh', '-c', 'echo out >/dev/stdout; echo err >/dev/stderr; echo ok')
  assert.equal(said, 'out\nok')
  assert.equal(await good('run', '--rm', '--sysctl', 'net.ipv4.ip_forward=1', 'tabique/base', 'sh', '-c',
    'cat /proc/sys/net/ipv4/ip_forward; nc -l -p 80 -e echo port & sleep 0.5; nc 127.0.0.1 80 </dev/null'), '1\nport')
  assert.match(await good('run', '--rm', '-t', 'tabique/base', 'sh', '-c', 'tty; test -d /sys/class/net/eth0 && echo net; echo x >/dev/shm/a && cat /dev/shm/a'),
    /^\/dev\/pts\/0\r\nnet\r\nx$/)
  assert.equal(await good('run', '--rm', '--init', '--tmpfs', '/t', '--read-only', 'tabique/base', 'sh', '-c', 'touch /t/x && id -u'), '0')
  // All capabilities are those of the namespace: no device of the host's.
  assert.notEqual((await docker('run', '--rm', '--cap-add', 'ALL', 'tabique/base', 'mknod', '/x', 'c', '1', '3')).code, 0)
})

test('volumes are shared with containers of the other kind, the host\'s files stay the host\'s', async () => {
  await good('run', '--rm', '-v', 'vol:/v', 'tabique/base', 'sh', '-c', 'echo a >/v/a; chown 7:8 /v/a')
  assert.equal(await good('run', '--rm', '--userns=host', '-v', 'vol:/v', 'tabique/base', 'sh', '-c', 'ls -ln /v/a | awk "{print \\$3,\\$4}"; echo b >/v/b'), '7 8')
  assert.equal(await good('run', '--rm', '-v', 'vol:/v', 'tabique/base', 'sh', '-c', 'ls -ln /v/b | awk "{print \\$3,\\$4}"'), '0 0')
  fs.writeFileSync(`${dir}/secret`, 'secret\n', { mode: 0o600 })
  const { code, stderr } = await docker('run', '--rm', '-v', `${dir}:/h`, 'tabique/base', 'cat', '/h/secret')
  assert.equal(code, 1)
  assert.match(stderr, /Permission denied/)
})

test('cp, export, diff and commit speak of the owners inside', async () => {
  fs.mkdirSync(`${dir}/up`)
  fs.writeFileSync(`${dir}/up/file`, 'hello\n')
  await good('cp', `${dir}/up`, 'run:/data')
  await good('exec', 'run', 'chown', '1234:5', '/data/file')
  const tar = await run('docker', ['-H', `unix://${server.socket}`, 'cp', 'run:/data', '-'])
  fs.writeFileSync(`${dir}/out.tar`, tar.raw)
  assert.match((await run('tar', ['--numeric-owner', '-tvf', `${dir}/out.tar`])).stdout, /1234\/5 .*data\/file/)
  // The same archive back in: as root, and with the owners it names.
  await good('exec', 'run', 'mkdir', '/back')
  assert.equal((await run('sh', ['-c', `docker -H unix://${server.socket} cp -a - run:/back <${dir}/out.tar`])).code, 0)
  assert.equal(await good('exec', 'run', 'sh', '-c', 'ls -ln /back/data/file | awk "{print \\$3,\\$4}"'), '1234 5')
  const { json } = await server.request('GET', '/api/v1/containers/run/files?path=/data')
  assert.equal(json.entries.find((entry) => entry.name === 'file').uid, 1234)
  await good('export', '-o', `${dir}/all.tar`, 'run')
  const all = (await run('tar', ['--numeric-owner', '-tvf', `${dir}/all.tar`])).stdout
  assert.match(all, /1234\/5 .* data\/file/)
  assert.doesNotMatch(all, new RegExp(`\\b${BASE}`))
  assert.match(await good('diff', 'run'), /A \/data\/file/)
  await good('commit', 'run', 'made')
  assert.equal(await good('run', '--rm', '--userns=host', 'made', 'sh', '-c', 'ls -ln /data/file | awk "{print \\$3,\\$4}"'), '1234 5')
  // An owner that the namespace does not have.
  fs.mkdirSync(`${dir}/far`)
  fs.writeFileSync(`${dir}/far/x`, 'x')
  assert.equal((await run('tar', ['--owner=70000', '--group=0', '--numeric-owner', '-C', `${dir}/far`, '-cf', `${dir}/far.tar`, 'x'])).code, 0)
  const far = await run('sh', ['-c', `docker -H unix://${server.socket} cp -a - run:/back <${dir}/far.tar`])
  assert.notEqual(far.code, 0)
  assert.match(far.stderr, /user namespace does not have its owner/)
  await good('stop', '-t', '0', 'run')
  await good('cp', `${dir}/up`, 'run:/again')
  await good('start', 'run')
  assert.equal(await good('exec', 'run', 'sh', '-c', 'ls -ldn /again | awk "{print \\$3}"'), '0')
})

test('what cannot be shared is refused, and --userns=host opts out', async () => {
  for (const [args, says] of [
    [['--privileged'], /privileged mode is incompatible with user namespaces/],
    [['--network', 'host'], /cannot share the host's network namespace when user namespaces are enabled/],
    [['--pid', 'host'], /cannot share the host PID namespace when user namespaces are enabled/],
    [['--ipc', 'container:run'], /cannot join another container's IPC namespace/],
  ]) {
    const { code, stderr } = await docker('create', ...args, 'tabique/base', 'true')
    assert.equal(code, 1)
    assert.match(stderr, says)
  }
  const id = await good('run', '-d', '--userns=host', '--privileged', 'tabique/base', 'sleep', '1000')
  assert.equal(owner(await good('inspect', '-f', '{{.State.Pid}}', id)), '0')
  assert.match(await good('info', '-f', '{{.SecurityOptions}}'), /name=userns/)
})

test('a user without ids is named at the start', async () => {
  const { stderr, code } = await run(path.join(process.env.TABIQUE_BUILD, 'server/tabique'), ['--data-dir', `${dir}/d`, '--run-dir', `${dir}/r`,
    '--listen', 'none', '--socket', `${dir}/s`, '--libexec-dir', path.join(process.env.TABIQUE_BUILD, 'libexec'), '--userns-remap', 'nobody-has-this'])
  assert.notEqual(code, 0)
  assert.match(stderr, /\/etc\/subuid has no range for nobody-has-this. Add one .*nobody-has-this:2000000:65536/)
})
