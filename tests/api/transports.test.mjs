// The stock CLI over everything it can speak over: TCP with client certificates, TCP with
// a token in its HttpHeaders, and ssh, which asks nothing of the server but its socket.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DOCKER, Server, run, until } from './lib/server.mjs'

let server
let dir
const file = (name) => path.join(dir, name)
const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })

// A key and a certificate for it, signed by `by` (itself, if by nobody).
function certificate(name, subject, by, extensions) {
  fs.writeFileSync(file(`${name}.ext`), extensions)
  openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-subj', `/CN=${subject}`, '-out', `${name}.csr`)
  openssl('x509', '-req', '-in', `${name}.csr`, '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`,
    ...(by ? ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial'] : ['-signkey', `${name}.key`]))
}

before(async () => {
  dir = fs.mkdtempSync('/tmp/tabique-transports-')
  certificate('ca', 'tests', null, 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n')
  certificate('other-ca', 'others', null, 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n')
  certificate('server', 'localhost', 'ca', 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n')
  certificate('client', 'a machine', 'ca', 'extendedKeyUsage=clientAuth\n')
  certificate('stranger', 'a machine', 'other-ca', 'extendedKeyUsage=clientAuth\n')
  server = await Server.start({ args: ['--tls-cert', file('server.pem'), '--tls-key', file('server.key'), '--tls-client-ca', file('ca.pem')] })
}, { timeout: 120_000 })
after(async () => {
  await server?.stop()
  fs.rmSync(dir, { recursive: true, force: true })
}, { timeout: 60_000 })

// A client with a configuration directory of its own. options: input, env.
function client(name, args, { input = '', env = {}, config = {} } = {}) {
  const home = file(name)
  fs.mkdirSync(home, { recursive: true })
  fs.writeFileSync(path.join(home, 'config.json'), JSON.stringify(config))
  return run(DOCKER, args, { input, env: { DOCKER_CONFIG: home, DOCKER_CLI_HINTS: 'false', ...env } })
}

// What a session needs of a transport: answers, input and both outputs, an exit status,
// a tar each way, and a stream that ends with the container.
async function session(run, size = 200_000) {
  const version = await run(['version', '--format', '{{.Server.Os}}'])
  assert.match(version.stdout, /^linux$/m, version.stderr)
  const said = await run(['run', '--rm', '-i', 'tabique/base', 'sh', '-c', 'cat; echo err >&2; exit 7'], { input: 'x'.repeat(size) })
  assert.deepEqual([said.code, said.stdout.length, said.stderr], [7, size, 'err\n'])
  assert.equal((await run(['run', '-d', '--name', 'far', 'tabique/base', 'sh', '-c', 'echo begun; sleep 1000'])).code, 0)
  try {
    assert.equal((await run(['exec', 'far', 'id', '-u'])).stdout, '0\n')
    fs.writeFileSync(file('there'), 'and back')
    assert.equal((await run(['cp', file('there'), 'far:/there'])).code, 0)
    assert.equal((await run(['cp', 'far:/there', file('back')])).code, 0)
    assert.equal(fs.readFileSync(file('back'), 'utf8'), 'and back')
    const logs = run(['logs', '-f', 'far'])
    // Ended, not yet removed: who follows may only begin now.
    assert.equal((await run(['kill', 'far'])).code, 0)
    assert.equal((await logs).stdout, 'begun\n')
    assert.equal((await run(['rm', '-f', 'far'])).code, 0)
  } finally {
    await run(['rm', '-f', 'far'])
  }
}

describe('TLS with client certificates', () => {
  const flags = (cert, ca = 'ca') => ['-H', `tcp://127.0.0.1:${server.port}`, '--tlsverify', '--tlscacert', file(`${ca}.pem`), '--tlscert', file(`${cert}.pem`), '--tlskey', file(`${cert}.key`)]
  test('a whole session', () => session((args, options) => client('tls', [...flags('client'), ...args], options)))
  test('a certificate of another authority is refused, and so is none', async () => {
    const stranger = await client('tls', [...flags('stranger'), 'ps'])
    assert.notEqual(stranger.code, 0)
    assert.match(stranger.stderr, /tls|certificate|EOF|reset|broken pipe/i)
    const nobody = await client('tls', ['-H', `tcp://127.0.0.1:${server.port}`, '--tlsverify', '--tlscacert', file('ca.pem'), 'ps'])
    assert.notEqual(nobody.code, 0)
    assert.equal(nobody.stdout, '')
  })
  test('the client refuses a server of another authority', async () => {
    assert.match((await client('tls', [...flags('client', 'other-ca'), 'ps'])).stderr, /certificate signed by unknown authority|failed to verify certificate/)
  })
})

describe('a token in HttpHeaders', () => {
  const run = (token) => (args, options) =>
    client('token', ['-H', `tcp://127.0.0.1:${server.port}`, '--tlsverify', '--tlscacert', file('ca.pem'), ...args],
      { ...options, config: token ? { HttpHeaders: { Authorization: `Bearer ${token}` } } : {} })
  const make = async (body) => (await server.request('POST', '/api/v1/tokens', { body })).json
  test('a whole session; without it, with a wrong one, or after its end nothing is told', async () => {
    await server.request('POST', '/api/v1/users', { body: { name: 'robot', role: 'operator', password: 'a long enough Passw0rd', mustChangePassword: false } })
    const { token, id } = await make({ label: 'cli', expiresIn: '1h', user: 'robot' })
    await session(run(token))
    for (const wrong of [null, `${token}x`, 'tbq_nonsense']) {
      const refused = await run(wrong)(['ps', '-a'])
      assert.notEqual(refused.code, 0)
      assert.equal(refused.stdout, '')
      assert.doesNotMatch(refused.stderr, new RegExp(token))
    }
    assert.equal((await server.request('DELETE', `/api/v1/tokens/${id}`)).status, 204)
    assert.notEqual((await run(token)(['ps'])).code, 0)
  })
})

describe('ssh', () => {
  let sshd
  let port
  // Debian's own, unpacked and not installed: its package would start a daemon. It wants
  // to be root, with a user and a directory of its own: they are there in a mount
  // namespace that nobody else sees.
  const unpacked = process.env.TABIQUE_SSHD || path.join(process.cwd(), 'build/sshd')
  before(async () => {
    port = await new Promise((resolve) => { const probe = net.createServer().listen(0, '127.0.0.1', () => { const { port } = probe.address(); probe.close(() => resolve(port)) }) })
    for (const name of ['host', 'user']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)])
    fs.copyFileSync(file('user.pub'), file('authorized'))
    const passwd = fs.readFileSync('/etc/passwd', 'utf8')
    fs.writeFileSync(file('passwd'), /^sshd:/m.test(passwd) ? passwd : `${passwd}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n`)
    fs.writeFileSync(file('sshd.conf'), `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${file('host')}\nAuthorizedKeysFile ${file('authorized')}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nSetEnv DOCKER_HOST=unix://${server.socket} PATH=${path.dirname(execFileSync('sh', ['-c', `command -v ${DOCKER}`], { encoding: 'utf8' }).trim())}:${process.env.PATH}\n`)
    fs.writeFileSync(file('ssh.conf'), `IdentityFile ${file('user')}\nIdentitiesOnly yes\nStrictHostKeyChecking accept-new\nUserKnownHostsFile ${file('known')}\nLogLevel ERROR\n`)
    fs.mkdirSync(file('bin'))
    fs.writeFileSync(file('bin/ssh'), `#!/bin/sh\nexec ${execFileSync('sh', ['-c', 'command -v ssh'], { encoding: 'utf8' }).trim()} -F ${file('ssh.conf')} "$@"\n`, { mode: 0o755 })
    const libraries = ['usr/lib', 'lib'].map((at) => path.join(unpacked, at, 'x86_64-linux-gnu')).join(':')
    sshd = spawn('unshare', ['--mount', 'sh', '-c', 'mount --bind "$1" /etc/passwd && mkdir -p /run/sshd && mount -t tmpfs -o mode=755 none /run/sshd && exec "$2" -D -e -f "$3"',
      'sh', file('passwd'), path.join(unpacked, 'usr/sbin/sshd'), file('sshd.conf')], { env: { ...process.env, LD_LIBRARY_PATH: libraries }, stdio: ['ignore', 'ignore', 'pipe'] })
    sshd.said = ''
    sshd.stderr.on('data', (chunk) => { sshd.said += chunk })
    await until('sshd', () => {
      if (sshd.exitCode !== null) throw new Error(`sshd: ${sshd.said}`)
      return /Server listening/.test(sshd.said)
    })
  }, { timeout: 60_000 })
  after(async () => {
    if (!sshd || sshd.exitCode !== null) return
    sshd.kill()
    await new Promise((resolve) => sshd.once('exit', resolve))
  }, { timeout: 30_000 })

  test('a whole session', () => session((args, options) =>
    client('ssh', ['-H', `ssh://root@127.0.0.1:${port}`, ...args], { ...options, env: { PATH: `${file('bin')}:${process.env.PATH}` } })))
  test('without the key there is no session', async () => {
    fs.writeFileSync(file('authorized'), '')
    const refused = await client('ssh', ['-H', `ssh://root@127.0.0.1:${port}`, 'ps'], { env: { PATH: `${file('bin')}:${process.env.PATH}` } })
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /Permission denied/)
  })
})
