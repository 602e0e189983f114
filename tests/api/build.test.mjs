// docker build: Dockerfiles from the stock CLI, contexts from a client of our own,
// hostile ones among them. RUN is tried behind both walls.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'
import { tar } from './lib/tar.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 240_000 }
let server
let root
let count = 0
const ok = (...args) => server.ok(...args)
const fresh = (what = 'built') => `${what}-${process.pid}-${++count}`

before(async () => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-build-'))
  server = await Server.start({ args: ['--accelerator', 'tcg'] })
}, { timeout: 180_000 })
after(async () => {
  await server?.stop()
  fs.rmSync(root, { recursive: true, force: true })
}, { timeout: 180_000 })

// A directory with these files: name -> text, or null for an empty directory.
function files(contents) {
  const dir = fs.mkdtempSync(path.join(root, 'context-'))
  for (const [name, text] of Object.entries(contents)) {
    const file = path.join(dir, name)
    fs.mkdirSync(text === null ? file : path.dirname(file), { recursive: true })
    if (text !== null) fs.writeFileSync(file, text)
  }
  return dir
}

// Lines after FROM tabique/base, unless they have a FROM of their own.
const dockerfile = (lines) => (/^(#|FROM|ARG)/m.test(lines) && /^FROM/m.test(lines) ? lines : `FROM ${IMAGE}\n${lines}`) + '\n'

// Builds by the CLI; gives what it said, and the image's name.
async function build(lines, contents = {}, ...args) {
  const tag = fresh()
  const dir = typeof contents === 'string' ? contents : files({ ...contents, ...(lines === null ? {} : { Dockerfile: dockerfile(lines) }) })
  const result = await server.docker('build', '-t', tag, ...args, dir, SLOW)
  return { ...result, tag, dir, said: result.stdout + result.stderr }
}

async function built(...args) {
  const result = await build(...args)
  assert.equal(result.code, 0, result.said)
  return result
}

async function fails(pattern, ...args) {
  const result = await build(...args)
  assert.notEqual(result.code, 0, result.said)
  assert.match(result.said, pattern)
  return result
}

const sh = (tag, command) => ok('run', '--rm', tag, 'sh', '-c', command)
const config = async (tag) => {
  const got = JSON.parse(await ok('image', 'inspect', '--format', '{{json .Config}}', tag))
  // The base image's own are not what a test is about.
  for (const label of Object.keys(got.Labels ?? {})) if (label.startsWith('org.opencontainers.')) delete got.Labels[label]
  return got
}
const ids = (said) => [...said.matchAll(/^ ---> ([0-9a-f]{12})$/gm)].map((match) => match[1])

// A build by REST: body a tar. Gives status, the JSON lines, and their texts joined.
async function post(query, body, headers = { 'Content-Type': 'application/x-tar' }) {
  const result = await server.request('POST', `/build?${query}`, { body, headers })
  const lines = result.text.split('\r\n').filter(Boolean).map((line) => JSON.parse(line))
  return { status: result.status, lines, text: lines.map((line) => line.stream ?? '').join(''), error: lines.find((line) => line.error), message: result.json?.message }
}

const nothingLeft = async () => {
  await until('the build to be gone', async () => {
    const { json } = await server.request('GET', '/containers/json?all=1')
    return json.length === 0 && fs.readdirSync(path.join(server.dataDir, 'build')).length === 0
  })
  assert.doesNotMatch(fs.readFileSync('/proc/self/mounts', 'utf8'), new RegExp(`${server.dataDir}/build`))
}

test('a Dockerfile from elsewhere than the context, as the CLI sends it', SLOW, async () => {
  const elsewhere = files({ Recipe: dockerfile('COPY inside /inside\nRUN cat /inside') })
  const { tag } = await built(null, { inside: 'here' }, '-f', path.join(elsewhere, 'Recipe'))
  assert.equal(await sh(tag, 'cat /inside'), 'here')
})

describe('what is said', () => {
  test('the classic builder\'s lines, and its aux', async () => {
    const result = await built('RUN echo out && echo err >&2\nCMD ["true"]')
    const lines = result.stdout.split('\n')
    assert.deepEqual(lines.filter((line) => line.startsWith('Step ')), ['Step 1/3 : FROM tabique/base', 'Step 2/3 : RUN echo out && echo err >&2', 'Step 3/3 : CMD ["true"]'])
    assert.equal(ids(result.stdout).length, 3)
    const running = /^ ---> Running in ([0-9a-f]{12})$/m.exec(result.stdout)[1]
    assert.match(result.stdout, new RegExp(`Removing intermediate container ${running}\n`))
    assert.ok(lines.includes('out'))
    assert.match(result.said, /\x1b\[91merr\n\x1b\[0m/)
    const id = await ok('image', 'inspect', '--format', '{{.Id}}', result.tag)
    assert.ok(lines.includes(`Successfully built ${id.slice(7, 19)}`))
    assert.equal(lines.findLast(Boolean), `Successfully tagged ${result.tag}:latest`)

    const { lines: json } = await post('t=aux', tar({ Dockerfile: dockerfile('CMD ["true"]') }))
    const image = await ok('image', 'inspect', '--format', '{{.Id}}', 'aux')
    assert.deepEqual(json.filter((line) => line.aux), [{ aux: { ID: image } }])
  })

  test('-q says the id alone, and why it failed', async () => {
    const good = await built('LABEL quiet=1', {}, '-q')
    assert.equal(good.stdout.trim(), await ok('image', 'inspect', '--format', '{{.Id}}', good.tag))
    const bad = await build('RUN echo the reason; false', {}, '-q', '--force-rm')
    assert.equal(bad.code, 1)
    assert.match(bad.said, /the reason/)
  })

  test('a command that fails: its code, and no image', async () => {
    const result = await build('RUN exit 7', {}, '--force-rm')
    assert.equal(result.code, 7)
    assert.match(result.said, /The command '\/bin\/sh -c exit 7' returned a non-zero code: 7/)
    assert.notEqual((await server.docker('image', 'inspect', result.tag)).code, 0)
    const { lines } = await post('forcerm=1', tar({ Dockerfile: dockerfile('RUN false') }))
    const message = "The command '/bin/sh -c false' returned a non-zero code: 1"
    assert.deepEqual(lines.at(-1), { errorDetail: { code: 1, message }, error: message })
    await nothingLeft()
  })

  test('a failed step\'s container stays without --force-rm, as Docker leaves it', async () => {
    const result = await build('RUN echo x > /made; false')
    const id = /Running in ([0-9a-f]{12})/.exec(result.said)[1]
    assert.match(await ok('ps', '-a', '--no-trunc', '--format', '{{.ID}}'), new RegExp(`^${id}`))
    assert.match(await ok('diff', id), /A \/made/)
    await ok('rm', id)
  })

  test('--rm=false keeps the containers of good steps', async () => {
    const result = await built('RUN true', {}, '--rm=false')
    assert.doesNotMatch(result.said, /Removing intermediate/)
    await ok('rm', /Running in ([0-9a-f]{12})/.exec(result.said)[1])
  })

  test('UTF-8 that arrives in pieces', async () => {
    const { text } = await post('nocache=1', tar({ Dockerfile: dockerfile("RUN printf 'caf\\303'; sleep 0.3; printf '\\251\\n'; printf '\\377\\n'") }))
    assert.match(text, /café\n/)
    assert.match(text, /\ufffd\n/)
  })
})

describe('instructions', () => {
  test('ENV, LABEL, EXPOSE, USER, WORKDIR, VOLUME, STOPSIGNAL, SHELL, CMD, ENTRYPOINT, MAINTAINER', async () => {
    const result = await built(`ENV A=1 B="two words" C=it\\'s
ENV OLD the old form
ENV D=\${A}-\${NONE:-none}-\${A:+set}-\\$A
LABEL one=1 two="a \\"b\\"" "three four"=5
EXPOSE 80 443/tcp 53/udp 8000-8002
USER nobody
WORKDIR /a
WORKDIR b
WORKDIR $A
VOLUME /v ["/w"]
VOLUME ["/x", "/y z"]
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
CMD echo hi
ENTRYPOINT ["/bin/echo", "x"]
MAINTAINER Somebody <some@example.org>`)
    const got = await config(result.tag)
    assert.deepEqual(got.Env.filter((line) => !line.startsWith('PATH=')), ['A=1', 'B=two words', "C=it's", 'OLD=the old form', 'D=1-none-set-$A'])
    assert.deepEqual(got.Labels, { one: '1', two: 'a "b"', 'three four': '5' })
    assert.deepEqual(Object.keys(got.ExposedPorts).sort(), ['443/tcp', '53/udp', '80/tcp', '8000/tcp', '8001/tcp', '8002/tcp'])
    assert.equal(got.User, 'nobody')
    assert.equal(got.WorkingDir, '/a/b/1')
    assert.ok('/x' in got.Volumes && '/y z' in got.Volumes && '/v' in got.Volumes)
    assert.equal(got.StopSignal, 'SIGINT')
    assert.deepEqual(got.Shell, ['/bin/sh', '-ec'])
    assert.deepEqual(got.Cmd, ['/bin/sh', '-ec', 'echo hi'], 'CMD of this stage stays')
    assert.deepEqual(got.Entrypoint, ['/bin/echo', 'x'])
    assert.equal(await ok('image', 'inspect', '--format', '{{.Author}}', result.tag), 'Somebody <some@example.org>')
    assert.match(await ok('history', '--no-trunc', '--format', '{{.CreatedBy}}', result.tag), /#\(nop\) WORKDIR \/a\/b\/1\n/)
  })

  test('ENTRYPOINT resets an inherited CMD', async () => {
    const base = await built('CMD ["inherited"]')
    const result = await built(`FROM ${base.tag}\nENTRYPOINT ["/bin/echo"]`)
    assert.equal((await config(result.tag)).Cmd ?? null, null)
  })

  test('HEALTHCHECK with its flags, and NONE', async () => {
    const result = await built('HEALTHCHECK --interval=5s --timeout=2s --start-period=1s --retries=4 CMD test -f /ok || exit 1')
    assert.deepEqual((await config(result.tag)).Healthcheck, { Test: ['CMD-SHELL', 'test -f /ok || exit 1'], Interval: 5e9, Timeout: 2e9, StartPeriod: 1e9, Retries: 4 })
    const times = { Interval: 5e9, Timeout: 2e9, StartPeriod: 1e9, Retries: 4 }
    for (let i = 0; i < 2; i++) { // built, and from the cache
      const none = await built(`FROM ${result.tag}\nHEALTHCHECK NONE\nHEALTHCHECK --retries=1 CMD ["true"]\nHEALTHCHECK NONE`)
      assert.deepEqual((await config(none.tag)).Healthcheck, { Test: ['NONE'], ...times, Retries: 1 })
      assert.match(await ok('history', '--no-trunc', '--format', '{{.CreatedBy}}', none.tag), /HEALTHCHECK &\{\["NONE"\] "0s" "0s" "0s" (?:"0s" )?'\\x00'\}/)
    }
  })

  test('parser directives, comments, continued lines, here-strings', async () => {
    const result = await built(`# escape=\`
# a comment
FROM ${IMAGE} \`
  AS it
# between
RUN echo a && \`
# in the middle

    echo b \\\\ && \`
    echo c > /c
FROM ${IMAGE}
COPY --from=it /c /d`)
    assert.match(result.said, /^Step 2\/4 : RUN echo a && {5}echo b \\\\ && {5}echo c > \/c$/m)
    assert.match(result.said, /Empty continuation line found in:\n {4}RUN echo a/)
    assert.equal(await sh(result.tag, 'cat /d'), 'c')
  })

  test('ARG: global, of a stage, defaults, --build-arg, what was not used', async () => {
    const lines = `ARG BASE=${IMAGE}
ARG SHARED=global
FROM \${BASE}
ARG SHARED
ARG LOCAL=default
ARG BOTH=x
ENV BOTH=env
RUN echo "$SHARED $LOCAL $BOTH \${UNSET:-unset} $HTTP_PROXY" > /args
FROM \${BASE}
RUN echo "[$SHARED]" > /args`
    const first = await built(lines, {}, '--target', '0', '--build-arg', 'LOCAL=given', '--build-arg', 'NOBODY=1', '--build-arg', 'HTTP_PROXY=http://proxy')
    assert.equal(await sh(first.tag, 'cat /args'), 'global given env unset http://proxy')
    assert.match(first.said, /\[Warning\] One or more build-args \[NOBODY\] were not consumed/)
    const history = await ok('history', '--no-trunc', '--format', '{{.CreatedBy}}', first.tag)
    assert.match(history, /^\|2 LOCAL=given SHARED=global \/bin\/sh -c echo/m)
    assert.doesNotMatch(history, /\/\/proxy/, 'a proxy that nobody declared is in no history')
    assert.equal(await sh((await built(lines)).tag, 'cat /args'), '[]', 'a stage sees what it names')
  })

  test('RUN: exec form, shell form, user, directory, environment', async () => {
    const result = await built(`ENV A=x
WORKDIR /w
RUN ["/bin/sh", "-c", "echo $A-$0 > exec"]
RUN echo $A > shell; id -u > id
USER nobody
RUN id -u > /tmp/id; pwd > /tmp/pwd`)
    assert.equal(await ok('run', '--rm', result.tag, 'cat', 'exec', 'shell', 'id', '/tmp/id', '/tmp/pwd'), 'x-/bin/sh\nx\n0\n65534\n/w')
    assert.ok(!(await config(result.tag)).Cmd.includes('echo'), 'RUN leaves CMD alone')
  })

  test('files removed, replaced and created by RUN', async () => {
    const result = await built('RUN mkdir -p /d/e && echo 1 > /d/e/f && echo 2 > /g\nRUN rm -r /d && mkdir /d && echo 3 > /d/h && rm /g')
    assert.equal(await sh(result.tag, 'ls /d; test ! -e /g && echo gone'), 'h\ngone')
  })

  test('multi-stage: names, numbers, FROM a stage, images, --target', async () => {
    const lines = `FROM ${IMAGE} AS First
RUN echo one > /one
FROM first AS second
RUN cat /one > /two
FROM scratch
COPY --from=0 /one /a/
COPY --from=SECOND /two /a/two
COPY --from=${IMAGE} /bin/busybox /bin/
COPY --from=${IMAGE} /bin/sh /bin/sh`
    const result = await built(lines)
    assert.equal(await ok('run', '--rm', result.tag, '/bin/busybox', 'cat', '/a/one', '/a/two'), 'one\none')
    const target = await built(lines, {}, '--target', 'second')
    assert.equal(await sh(target.tag, 'cat /two'), 'one')
    assert.match(target.said, /Step 4\/4/)
    await fails(/target stage "nowhere" could not be found/, lines, {}, '--target', 'nowhere')
  })

  test('ONBUILD: triggers run in the next build, and only there', async () => {
    const base = await built('ONBUILD COPY x /x\nONBUILD RUN cat /x > /y\nONBUILD ENV BY=trigger')
    assert.deepEqual((await config(base.tag)).OnBuild, ['COPY x /x', 'RUN cat /x > /y', 'ENV BY=trigger'])
    const next = await built(`FROM ${base.tag}`, { x: 'from the next context' })
    assert.match(next.said, /# Executing 3 build triggers/)
    assert.equal(await sh(next.tag, 'cat /y; echo; echo $BY'), 'from the next context\ntrigger')
    assert.equal((await config(next.tag)).OnBuild ?? null, null)
  })

  test('scratch: a Config alone, then files', async () => {
    const result = await built('FROM scratch\nLABEL a=b\nWORKDIR /w/x\nCOPY f .', { f: 'f' })
    assert.deepEqual((await config(result.tag)).Labels, { a: 'b' })
    const exported = spawnSync('sh', ['-c', 'id=$(docker create "$1" x) && docker export "$id" | tar -tf - ; docker rm "$id" >/dev/null', 'sh', result.tag],
      { env: { ...process.env, DOCKER_HOST: `unix://${server.socket}`, DOCKER_CONFIG: server.configDir }, encoding: 'utf8' })
    assert.match(exported.stdout, /^w\/x\/f$/m)
    await fails(/No image was generated/, 'FROM scratch')
  })

  test('--label, several -t, --network none, limits, --add-host', async () => {
    const other = fresh('also')
    const result = await built('RUN ip link | grep -c . > /links; cat /proc/self/mounts | grep "/dev/shm" > /shm; ulimit -n > /nofile; grep there /etc/hosts > /hosts',
      {}, '--label', 'z=1', '--label', 'a=$HOME "q"', '-t', `${other}:v1`, '--network', 'none', '--memory', '64m', '--shm-size', '8m', '--ulimit', 'nofile=77:99', '--add-host', 'there:10.1.2.3')
    assert.match(result.said, new RegExp(`Successfully tagged ${other}:v1`))
    assert.equal(await ok('image', 'inspect', '--format', '{{.Id}}', `${other}:v1`), await ok('image', 'inspect', '--format', '{{.Id}}', result.tag))
    assert.deepEqual((await config(result.tag)).Labels, { z: '1', a: '$HOME "q"' })
    const text = await sh(result.tag, 'cat /links /shm /nofile /hosts')
    assert.match(text, /^2\n/, 'a loopback alone')
    assert.match(text, /size=8192k/)
    assert.match(text, /^77$/m)
    assert.match(text, /10\.1\.2\.3\s+there/)
  })

  test('a volume declared before a RUN: what is written there is gone', async () => {
    const result = await built('RUN mkdir /v && echo kept > /v/a\nVOLUME /v\nRUN echo lost > /v/b')
    assert.equal(await sh(result.tag, 'ls /v'), 'a')
    assert.equal((await server.request('GET', '/volumes')).json.Volumes.length, 0)
  })
})

describe('COPY and ADD', () => {
  const context = { a: 'A', b: 'B', 'dir/x': 'X', 'dir/sub/y': 'Y', 'dir/.hidden': 'H', 'c.txt': 'C', 'd.txt': 'D', 'with space': 'S', '[odd]': 'O' }

  test('files, directories, wildcards, slashes', async () => {
    const result = await built(`COPY a /one
COPY a b /two/
COPY dir /three
COPY dir/ /four/
COPY *.txt /five/
COPY d?r/[x] /six/
COPY ["with space", "/seven and/"]
COPY a b dir/x /etc/
WORKDIR /here
COPY a sub/
COPY b .
COPY ./dir/../a ./renamed
COPY d* /all/
COPY [[]odd] /odd`, context)
    assert.equal(await sh(result.tag, 'cat /one; ls /two; find /three /four /five /six "/seven and" /here /all /odd -type f | sort'), ['Aa', 'b',
      '/all/.hidden', '/all/d.txt', '/all/sub/y', '/all/x', '/five/c.txt', '/five/d.txt', '/four/.hidden', '/four/sub/y', '/four/x', '/here/b', '/here/renamed', '/here/sub/a',
      '/odd', '/seven and/with space', '/six/x', '/three/.hidden', '/three/sub/y', '/three/x'].join('\n'))
  })

  test('owners and modes', async () => {
    const dir = files(context)
    fs.chmodSync(path.join(dir, 'a'), 0o754)
    fs.chmodSync(path.join(dir, 'dir'), 0o711)
    fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile(`RUN echo 'web:x:33:' >> /etc/group; echo 'web:x:1033:33::/:/bin/sh' >> /etc/passwd
COPY a /plain
COPY --chown=7:8 a /numbers
COPY --chown=web a /name
COPY --chown=web:root dir /new/dir
COPY --chown=9 --chmod=640 a /mode
ARG WHO=11:12
ADD --chown=$WHO b /arg`))
    const result = await built(null, dir)
    assert.equal(await sh(result.tag, 'stat -c "%n %u:%g %a" /plain /numbers /name /new /new/dir /new/dir/x /mode /arg'), ['/plain 0:0 754', '/numbers 7:8 754', '/name 1033:33 754',
      '/new 1033:0 755', '/new/dir 1033:0 711', '/new/dir/x 1033:0 644', '/mode 9:9 640', '/arg 11:12 644'].join('\n'))
    await fails(/can't find uid for user nosuch: no such user: nosuch/, 'COPY --chown=nosuch a /a', context)
  })

  test('ADD unpacks archives of every compression; COPY does not', async () => {
    const dir = files({ 'in/t/file': 'unpacked' })
    for (const [suffix, flag] of [['tar', ''], ['tar.gz', '-z'], ['tar.bz2', '-j'], ['tar.xz', '-J'], ['tar.zst', '--zstd']])
      execFileSync('tar', ['-C', path.join(dir, 'in'), ...(flag ? [flag] : []), '-cf', path.join(dir, `t.${suffix}`), 't'])
    fs.writeFileSync(path.join(dir, 'not.tar.gz'), 'only called so')
    fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile(`ADD t.tar /tar/\nADD t.tar.gz /gz\nADD t.tar.bz2 /bz2/\nADD t.tar.xz /xz/\nADD t.tar.zst /zst/\nADD not.tar.gz /not/\nCOPY t.tar.gz /copied/`))
    const result = await built(null, dir)
    assert.equal(await sh(result.tag, 'cat /tar/t/file /gz/t/file /bz2/t/file /xz/t/file /zst/t/file; cat /not/not.tar.gz; ls /copied'), 'unpacked'.repeat(5) + 'only called sot.tar.gz')
  })

  test('ADD fetches addresses', async () => {
    const served = http.createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { Location: '/files/a.txt' }).end()
      else if (request.url.startsWith('/files/')) response.writeHead(200, { 'Last-Modified': 'Wed, 01 Jan 2020 00:00:00 GMT' }).end(`at ${request.url}`)
      else response.writeHead(404).end()
    })
    await new Promise((resolve) => served.listen(0, '127.0.0.1', resolve))
    const at = `http://127.0.0.1:${served.address().port}`
    try {
      const result = await built(`ADD ${at}/files/a.txt?v=1 /d/\nADD ${at}/moved /e`)
      assert.equal(await sh(result.tag, 'cat /d/a.txt /e; stat -c " %a %Y" /d/a.txt'), 'at /files/a.txt?v=1at /files/a.txt 600 1577836800')
      await fails(/failed to GET .* with status 404/, `ADD ${at}/none /x`)
      await fails(/cannot determine filename from url/, `ADD ${at}/ /x/`)
      await fails(/source can't be a URL for COPY/, `COPY ${at}/files/a.txt /x`)
      await fails(/cannot get file:\/\/|file not found/, 'ADD file:///etc/passwd /x')
      // And whole contexts.
      served.removeAllListeners('request')
      served.on('request', (request, response) => response.end(request.url === '/Dockerfile' ? dockerfile('LABEL remote=1') : tar({ 'sub/D': dockerfile('COPY f /f'), f: 'remote' })))
      assert.equal((await post(`t=remote1&remote=${at}/Dockerfile`, '')).error, undefined)
      assert.deepEqual((await config('remote1')).Labels.remote, '1')
      assert.equal((await post(`t=remote2&dockerfile=sub/D&remote=${at}/context.tar`, '')).error, undefined)
      assert.equal(await sh('remote2', 'cat /f'), 'remote')
    } finally {
      served.close()
    }
  })

  test('links: in the context, in the image, onto what is there', async () => {
    const dir = files(context)
    fs.symlinkSync('a', path.join(dir, 'to-a'))
    fs.symlinkSync('dir', path.join(dir, 'to-dir'))
    fs.symlinkSync('/etc/passwd', path.join(dir, 'dir/outside'))
    fs.linkSync(path.join(dir, 'dir/x'), path.join(dir, 'dir/hard'))
    fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile(`RUN mkdir -p /real /tree && ln -s /real /into && ln -s ../../real/target /tree/file && ln -s /nowhere/yet /dangling
COPY to-a /followed
COPY to-dir/ /followed-dir/
COPY a /into/
COPY b /tree/file
COPY dir /tree/
COPY a /dangling
COPY b /real/a`))
    const result = await built(null, dir)
    assert.equal(await sh(result.tag, 'cat /followed /followed-dir/x /real/a /real/target; echo; for l in /into /tree/file /tree/outside /dangling; do readlink $l; done; cat /nowhere/yet; stat -c " %h" /tree/x'),
      'AXBB\n/real\n../../real/target\n/etc/passwd\n/nowhere/yet\nA 2')
  })

  test('what is refused', async () => {
    await fails(/COPY failed: file not found in build context or excluded by \.dockerignore: stat nope: file does not exist/, 'COPY nope /x', context)
    await fails(/COPY failed: no source files were specified/, 'COPY no*pe /x', context)
    await fails(/COPY failed: forbidden path outside the build context: \.\.\/a \(\)/, 'COPY ../a /x', context)
    await fails(/When using COPY with more than one source file, the destination must be a directory and end with a \//, 'COPY a b /x', context)
    await fails(/cannot copy to non-directory: \/etc\/passwd/, 'COPY dir /etc/passwd', context)
    await fails(/COPY failed: stat nope: file does not exist/, `COPY --from=${IMAGE} /nope /x`, context)
    await fails(/invalid from flag value nosuch:1: (pull access denied for nosuch|Get "https:)/, 'COPY --from=nosuch:1 /a /x', context)
    await fails(/refers to current build stage/, `FROM ${IMAGE} AS me\nCOPY --from=me /a /b`, context)
    await fails(/invalid chmod parameter/, 'COPY --chmod=u+x a /x', context)
  })

  test('.dockerignore, also where the client has not applied it', async () => {
    const contents = { Dockerfile: dockerfile('COPY . /c'), '.dockerignore': '# comment\n*.log\n!keep.log\ntmp\n**/deep\n!sub/deep/back\n/Dockerfile\n.dockerignore\n',
      'a.log': '', 'keep.log': '', 'tmp/x': '', 'sub/tmp': '', 'sub/deep/gone': '', 'sub/deep/back': '', 'sub/b.log': '' }
    const want = '/c/keep.log\n/c/sub/b.log\n/c/sub/deep/back\n/c/sub/tmp'
    assert.equal((await post('t=ignored', tar(contents))).error, undefined)
    assert.equal(await sh('ignored', 'find /c -type f | sort'), want)
    const byClient = await built(null, files(contents))
    assert.equal(await sh(byClient.tag, 'find /c -type f | sort'), want)
  })
})

describe('cache', () => {
  const step = (result, n) => result.said.split(/^Step /m).find((part) => part.startsWith(`${n}/`))
  const cached = (result, n) => step(result, n).includes('Using cache')

  test('what changed, and all behind it, is made anew', async () => {
    const lines = 'RUN cat /proc/sys/kernel/random/uuid > /first\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /last'
    const one = await built(lines, { f: '1' })
    const same = await built(lines, { f: '1' })
    assert.deepEqual(ids(same.said), ids(one.said))
    const other = await built(lines, { f: '2' })
    assert.deepEqual([2, 3, 4].map((n) => cached(other, n)), [true, false, false])
    const renamed = await built(lines.replace('COPY f /f', 'COPY g /f'), { g: '1' })
    assert.ok(!cached(renamed, 3))
    const anew = await built(lines, { f: '1' }, '--no-cache')
    assert.ok(![2, 3, 4].some((n) => cached(anew, n)))
    const mode = files({ f: '1', Dockerfile: dockerfile(lines) })
    fs.chmodSync(path.join(mode, 'f'), 0o600)
    assert.ok(!cached(await built(null, mode), 3), 'a mode is part of what is copied')
    fs.chmodSync(path.join(mode, 'f'), 0o644)
    fs.utimesSync(path.join(mode, 'f'), 1, 1)
    assert.ok(cached(await built(null, mode), 3), 'a time is not')
  })

  test('the same bytes under another name are another copy', async () => {
    await built('COPY a /d/', { a: 'same' })
    const other = await built('COPY b /d/', { b: 'same' })
    assert.equal(await sh(other.tag, 'ls /d'), 'b')
    await built('COPY a b /e/', { a: '1', b: '2' })
    assert.equal(await sh((await built('COPY a b /e/', { a: '2', b: '1' })).tag, 'cat /e/a /e/b'), '21')
  })

  test('arguments: of RUN, from where they are declared', async () => {
    const lines = 'RUN cat /proc/sys/kernel/random/uuid > /before\nARG V\nRUN echo $V > /v'
    const one = await built(lines, {}, '--build-arg', 'V=1')
    const two = await built(lines, {}, '--build-arg', 'V=2')
    assert.deepEqual([2, 4].map((n) => cached(two, n)), [true, false])
    assert.equal(await sh(one.tag, 'cat /v'), '1')
    assert.equal(await sh(two.tag, 'cat /v'), '2')
    assert.ok(cached(await built(lines, {}, '--build-arg', 'V=1'), 4))
  })

  test('--cache-from: a loaded image\'s history', async () => {
    const lines = 'RUN cat /proc/sys/kernel/random/uuid > /when\nLABEL x=1\nCOPY f /f'
    const one = await built(lines, { f: '1' })
    const file = path.join(root, 'saved.tar')
    await ok('save', '-o', file, one.tag)
    await ok('rmi', one.tag)
    await ok('load', '-i', file)
    assert.ok(!cached(await built(lines, { f: '1' }), 2), 'not by itself')
    const from = await built(lines, { f: '1' }, '--cache-from', one.tag)
    assert.deepEqual([2, 3, 4].map((n) => cached(from, n)), [true, true, true])
    assert.equal(await sh(from.tag, 'cat /when'), await sh(one.tag, 'cat /when'))
    const changed = await built(lines, { f: '2' }, '--cache-from', one.tag)
    assert.deepEqual([2, 3, 4].map((n) => cached(changed, n)), [true, true, false])
    await ok('rmi', one.tag, from.tag, changed.tag)
  })

  test('steps are hidden, named images keep theirs, prune takes the rest', async () => {
    const own = await Server.start({ listen: false })
    try {
      const dir = files({ Dockerfile: dockerfile('RUN echo 1 > /1\nRUN echo 2 > /2') })
      await own.ok('build', '-t', 'named', dir, SLOW)
      const list = async (query = '') => (await own.request('GET', `/images/json${query}`)).json
      assert.equal((await list()).length, 2)
      assert.equal((await list('?all=1')).length, 3)
      assert.equal((await list('?filters={"dangling":["true"]}')).length, 0)
      const cache = (await own.request('GET', '/system/df')).json.BuildCache
      assert.equal(cache.length, 1)
      assert.equal(cache[0].InUse, true)
      assert.match(cache[0].Description, /echo 1/)

      // Another one under the same name: the old final image dangles.
      fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile('RUN echo 1 > /1\nRUN echo 3 > /3'))
      await own.ok('build', '-t', 'named', dir, SLOW)
      assert.equal((await list('?filters={"dangling":["true"]}')).length, 1)
      assert.equal((await own.request('GET', '/system/df')).json.BuildCache.filter((entry) => !entry.InUse).length, 1)
      assert.equal((await own.request('POST', '/build/prune?filters={"nope":["1"]}')).status, 400)
      assert.equal((await own.request('POST', '/build/prune?filters={"unused-for":["24h"]}')).json.CachesDeleted, null, 'all are younger')
      const pruned = await own.request('POST', '/build/prune')
      assert.equal(pruned.json.CachesDeleted.length, 1)
      assert.equal(pruned.json.SpaceReclaimed, 2)
      assert.equal((await list('?all=1')).length, 3)
      assert.match(await own.ok('build', '-t', 'named', dir, SLOW), /Using cache/)

      const all = await own.request('POST', '/build/prune?all=1')
      assert.equal(all.json.CachesDeleted.length, 1)
      assert.equal(all.json.SpaceReclaimed, 0, 'its layer is the named image\'s, too')
      assert.equal(await own.ok('run', '--rm', 'named', 'cat', '/1', '/3'), '1\n3')
      assert.doesNotMatch(await own.ok('build', '-t', 'named', dir, SLOW), /Using cache/)
      assert.match(await own.ok('builder', 'prune', '-f', '--all'), /Total/)
      await own.ok('rmi', 'named')
      await own.ok('image', 'prune', '-f')
      assert.equal((await list('?all=1')).length, 1)
    } finally {
      await own.stop()
    }
  })

  test('a context that is small on the wire and large unpacked moves to the disk', async () => {
    const { gzipSync } = await import('node:zlib')
    const body = gzipSync(tar({ Dockerfile: dockerfile('COPY big many /c/\nRUN stat -c %s /c/big && ls /c | wc -l'), big: Buffer.alloc(40 << 20, 'x'), 'many/one': '1' }))
    const answer = await server.request('POST', '/build?t=unpacked', { body, headers: { 'Content-Type': 'application/x-tar' } })
    assert.equal(answer.status, 200)
    assert.match(answer.text, /41943040/)
    assert.match(answer.text, /"2\\n"|2\\n/)
    await ok('rmi', 'unpacked')
  })

  for (const filter of ['until', 'unused-for'])
    test(`prune by age: ${filter} takes what is older, and that alone`, async () => {
      const own = await Server.start({ listen: false })
      try {
        const steps = async (name) => {
          await own.ok('build', '-t', name, files({ Dockerfile: dockerfile(`RUN echo ${name} > /1\nRUN echo more > /2`) }), SLOW)
          await own.ok('rmi', '--no-prune', '-f', name)
        }
        const cache = async () => (await own.request('GET', '/system/df')).json.BuildCache.map(({ Description }) => /old|new/.exec(Description)?.[0]).filter(Boolean).sort()
        const prune = async (value) => (await own.request('POST', `/build/prune?filters=${encodeURIComponent(JSON.stringify({ [filter]: [value] }))}`)).json.CachesDeleted
        await steps('old')
        await new Promise((resolve) => setTimeout(resolve, 1100))
        const then = String(Math.floor(Date.now() / 1000)) // after the first's last step, before the second's first
        await new Promise((resolve) => setTimeout(resolve, 10))
        await steps('new')
        assert.deepEqual(await cache(), ['new', 'old'])
        assert.equal(await prune('1h'), null)
        assert.deepEqual(await cache(), ['new', 'old'])
        assert.ok((await prune(then)).length > 0)
        assert.deepEqual(await cache(), ['new'])
      } finally {
        await own.stop()
      }
    })

  test('prune keeps what its limits leave, the newest, and chooses by what an entry is', async () => {
    const own = await Server.start({ listen: false })
    try {
      // Three dangling chains of one step of its own each, 1 MiB apiece, made one after the other.
      for (const n of [1, 2, 3]) {
        await own.ok('build', '-q', '-t', 'x', files({ Dockerfile: dockerfile(`RUN dd if=/dev/urandom of=/f bs=1024 count=1024 2>/dev/null; echo ${n}`) }), SLOW)
      }
      await own.ok('rmi', '--no-prune', '-f', 'x:latest')
      const cache = async () => (await own.request('GET', '/system/df')).json.BuildCache.map(({ Description }) => /echo (\d)/.exec(Description)?.[1]).sort().join('')
      const prune = async (query) => (await own.request('POST', `/v1.51/build/prune?${query}`)).json.CachesDeleted?.length ?? 0
      const before = await cache()
      assert.ok(before.length >= 2, before)
      const newest = before.at(-1)
      assert.equal(await prune(`filters=${encodeURIComponent('{"description":["nothing"]}')}`), 0)
      assert.equal(await prune(`filters=${encodeURIComponent('{"type":["exec.cachemount"]}')}`), 0)
      assert.equal(await prune(`filters=${encodeURIComponent('{"inuse":["true"]}')}`), 0)
      assert.equal(await prune('min-free-space=1'), 0, 'the disk has it')
      assert.equal(await prune('reserved-space=1000000000'), 0)
      assert.equal(await prune('max-used-space=1100000'), before.length - 1)
      assert.equal(await cache(), newest)
      assert.equal(await prune('keep-storage=1000000000'), 0)
      assert.equal(await prune(`min-free-space=${2 ** 60}`), 1, 'no disk has it')
      assert.equal((await own.request('POST', '/v1.51/build/prune?min-free-space=x')).status, 400)
    } finally {
      await own.stop()
    }
  })
})

describe('both walls', () => {
  for (const wall of ['process', 'hyperv']) {
    test(`RUN behind ${wall}`, SLOW, async () => {
      const result = await built(`ARG GREETING=hello
RUN uname -r > /kernel && echo "$GREETING from RUN" > /said && mkdir -p /d && ln -s /said /d/link && rm -f /etc/motd
COPY f /f
USER nobody
WORKDIR /tmp
RUN cat /f > copied && id -u >> copied && echo seen >&2
RUN ["sh", "-c", "cat copied"]`, { f: 'context\n' }, '--no-cache', '--isolation', wall)
      assert.match(result.said, /\x1b\[91mseen\n/)
      assert.match(result.said, /^context\n65534$/m)
      const text = await ok('run', '--rm', '--user', '0', result.tag, 'sh', '-c', 'cat /said /tmp/copied; readlink /d/link; stat -c %u /tmp/copied; cat /kernel', SLOW)
      const lines = text.split('\n')
      assert.deepEqual(lines.slice(0, 5), ['hello from RUN', 'context', '65534', '/said', '65534'])
      // The wall shows in what the guest said of its kernel only where the host's differs.
      assert.ok(lines[5].length > 0)
      await nothingLeft()
    })

    test(`a failing RUN behind ${wall}`, SLOW, async () => {
      const result = await build('RUN echo before; exit 9', {}, '--isolation', wall, '--force-rm')
      assert.equal(result.code, 9, result.said)
      assert.match(result.said, /before/)
      await nothingLeft()
    })
  }

  test('an isolation nobody has', async () => {
    await fails(/unsupported isolation: "glass"/, 'RUN true', {}, '--isolation', 'glass')
  })
})

describe('bad requests', () => {
  const status = async (query, body, want, pattern) => {
    const result = await post(query, body)
    assert.equal(result.status, want, JSON.stringify(result.lines))
    assert.match(result.message, pattern)
  }
  const good = () => tar({ Dockerfile: dockerfile('LABEL a=b') })

  test('queries', async () => {
    await status('t=BAD', good(), 400, /invalid reference format/)
    await status('buildargs=x', good(), 400, /build args/)
    await status('buildargs=[]', good(), 400, /build args/)
    await status('buildargs={"a":1}', good(), 400, /build args: json: cannot unmarshal number into Go value of type string/)
    await status('labels={"a":[]}', good(), 400, /labels: json: cannot unmarshal array into Go value of type string/)
    await status('ulimits={}', good(), 400, /error reading ulimit settings/)
    await status('cachefrom=x', good(), 400, /error reading cache-from/)
    await status('shmsize=lots', good(), 400, /lots/)
    await status('squash=1', good(), 400, /squash is only supported with experimental mode/)
    await status('version=2', good(), 400, /BuildKit/)
    await status('remote=client-session', good(), 400, /BuildKit/)
    await status('remote=https://example.org/x.git', '', 400, /git/)
    await status('remote=git://example.org/x', '', 400, /git/)
    await status('remote=ftp://example.org/x', '', 400, /could not be recognized/)
    await status('target=x', good(), 400, /target stage "x" could not be found/)
    await status('dockerfile=none', good(), 400, /Cannot locate specified Dockerfile: none/)
    await status('', tar({ Dockerfile: '' }), 400, /the Dockerfile \(Dockerfile\) cannot be empty/)
    await status('', 'this is no tar at all, whatever its name', 400, /./)
    await nothingLeft()
  })

  test('Dockerfiles', async () => {
    const bad = async (text, pattern) => status('', tar({ Dockerfile: text }), 400, pattern)
    await bad('FROM x\nFOO bar\n', /dockerfile parse error on line 2: unknown instruction: FOO/)
    await bad('RUN x\n', /no build stage in current context/)
    await bad('# only a comment\n', /file with no instructions/)
    await bad('FROM a b\n', /FROM requires either one or three arguments/)
    await bad('FROM a AS 1x\n', /invalid name for build stage: "1x"/)
    await bad('FROM a\nCOPY x\n', /COPY requires at least two arguments/)
    await bad('FROM a\nCOPY --nope=1 a b\n', /unknown flag: nope/)
    await bad('FROM a\nRUN <<EOF\necho\nEOF\n', /here-document/)
    await bad('# escape=x\nFROM a\n', /invalid escape token/)
    await bad('FROM a\nSHELL /bin/sh\n', /SHELL requires the arguments to be in JSON form/)
    await bad('FROM a\nONBUILD ONBUILD RUN x\n', /Chaining ONBUILD/)
    await bad('FROM a\nENV X\n', /ENV must have two arguments/)
    await bad(`FROM a\nRUN ${'x'.repeat(70_000)}\n`, /maximum allowed size/)
    await bad(Buffer.from([0x46, 0x52, 0x4f, 0x4d, 0x20, 0x00]), /NUL/)
    await bad(`FROM a\n${'RUN x\n'.repeat(1100)}`, /more than 1000 instructions/)
    const stream = async (text, pattern) => {
      const result = await post('', tar({ Dockerfile: text }))
      assert.equal(result.status, 200)
      assert.match(result.error.error, pattern)
    }
    await stream('FROM nosuch/image:1\n', /pull access denied for nosuch\/image, repository does not exist|Get "https:/)
    await stream(`FROM ${IMAGE}\nRUN --mount=type=cache,target=/x true\n`, /the --mount option requires BuildKit/)
    await stream(`FROM scratch\nLABEL a=b\nRUN true\n`, /exec: "\/bin\/sh": stat \/bin\/sh: no such file/)
    await stream('FROM $NONE\n', /base name \(\$NONE\) should not be blank/)
    await stream(`FROM ${IMAGE}\nENV A=\${B\n`, /missing '}'/)
    await stream(`FROM ${IMAGE}\nENV A="\${B:?must be said}"\n`, /must be said/)
    await stream(`FROM ${IMAGE}\nLABEL a='x\n`, /single-quote/)
    await stream(`FROM ${IMAGE}\nEXPOSE 99999\n`, /99999/)
    await stream(`FROM ${IMAGE}\nSTOPSIGNAL NOPE\n`, /NOPE/)
    await stream(`FROM --platform=linux/s390x ${IMAGE}\n`, /does not match the specified platform/)
    await nothingLeft()
  })

  test('session and grpc: as an engine without BuildKit', async () => {
    for (const target of ['/session', '/grpc', '/v1.44/session']) {
      const result = await server.request('POST', target)
      assert.equal(result.status, 404)
      assert.deepEqual(result.json, { message: 'page not found' })
    }
    assert.equal((await server.request('GET', '/_ping')).headers['builder-version'], '1')
  })
})

describe('hostile contexts', () => {
  const secret = () => {
    const file = path.join(root, `secret-${++count}`)
    fs.writeFileSync(file, 'the host\'s')
    return file
  }
  const never = async (entries, lines, pattern = /the host's/) => {
    const result = await post('nocache=1&forcerm=1', tar({ Dockerfile: dockerfile(lines), ...entries }))
    assert.doesNotMatch(result.text, pattern)
    await nothingLeft()
    return result
  }

  test('names with "..", absolute names, links out of the context', async () => {
    const file = secret()
    const up = await never({ [`../../../../../../../..${file}`]: { text: 'overwritten' } }, 'RUN true')
    assert.equal(up.status, 400)
    await never({ [file]: { text: 'overwritten' } }, 'RUN true')
    await never({ out: { link: '/' }, [`out${file}`]: { text: 'overwritten' } }, 'RUN true')
    await never({ hard: { hardlink: file } }, 'COPY hard /h\nRUN cat /h')
    assert.equal(fs.readFileSync(file, 'utf8'), 'the host\'s')
    for (const [lines, entries] of [
      ['COPY link /x\nRUN cat /x', { link: { link: file } }],
      ['COPY up /x\nRUN cat /x', { up: { link: `../../../../../../../..${file}` } }],
      [`COPY dir${file} /x\nRUN cat /x`, { dir: { link: '/' } }],
      ['COPY dir /x\nRUN find /x -type f -exec cat {} +', { dir: { link: path.dirname(file) } }],
      ['ADD link /x\nRUN cat /x', { link: { link: file } }],
    ])
      await never(entries, lines)
  })

  test('a Dockerfile or .dockerignore that is a link, a device, a FIFO', async () => {
    const file = secret()
    fs.writeFileSync(file, dockerfile('LABEL stolen=1'))
    for (const entry of [{ link: file }, { fifo: true }, { device: [1, 5] }, { directory: true }]) {
      const result = await post('', tar({ Dockerfile: entry }))
      assert.equal(result.status, 400, JSON.stringify(result.lines))
      assert.match(result.message, /Cannot locate specified Dockerfile/)
    }
    const result = await post('t=ignore-fifo', tar({ Dockerfile: dockerfile('COPY a /a'), a: 'a', '.dockerignore': { fifo: true } }))
    assert.equal(result.error, undefined)
    await nothingLeft()
  })

  test('devices are neither read nor written', async () => {
    const zero = await never({ zero: { device: [1, 5] }, fifo: { fifo: true } }, 'COPY zero /z')
    assert.match(zero.error.error, /neither a file nor a directory/)
    await never({ fifo: { fifo: true } }, 'ADD fifo /z')
    const image = await built('RUN mknod /null c 1 3 && mkfifo /fifo')
    const result = await never({ a: 'a' }, `FROM ${image.tag}\nCOPY a /null\nCOPY a /fifo\nRUN ls -l /null /fifo`)
    assert.match(result.text, /-rw-r--r--.*\/fifo\n-rw-r--r--.*\/null\n/, 'replaced, not opened')
    const etc = await built('RUN rm /etc/passwd && mkfifo /etc/passwd')
    const named = await never({ a: 'a' }, `FROM ${etc.tag}\nCOPY --chown=root a /x`)
    assert.match(named.error.error, /can't find uid/)
  })

  test('links of the image lead nowhere but into the image', async () => {
    const file = secret()
    const image = await built(`RUN ln -s ${path.dirname(file)} /out && ln -s ../../../../../../..${file} /file && ln -s loop /loop`)
    const result = await never({ f: { text: 'overwritten' } }, `FROM ${image.tag}
COPY f /out/${path.basename(file)}
COPY f /file
WORKDIR /out/made
RUN cat ${file}
COPY --from=${image.tag} /out /copied
`)
    assert.match(result.text, /overwritten/)
    assert.equal(fs.readFileSync(file, 'utf8'), 'the host\'s')
    assert.ok(!fs.existsSync(path.join(path.dirname(file), 'made')))
    await never({ f: 'f' }, `FROM ${image.tag}\nCOPY f /loop/x`)
    await never({ f: 'f' }, `FROM ${image.tag}\nCOPY f /loop`)
    await never({}, `FROM ${image.tag}\nWORKDIR /loop/x`)
  })

  test('archives that ADD unpacks stay inside', async () => {
    const file = secret()
    await never({ 'evil.tar': tar({ [`../../../../../..${file}`]: { text: 'overwritten' } }) }, 'ADD evil.tar /x/')
    await never({ 'evil.tar': tar({ l: { link: path.dirname(file) }, [`l/${path.basename(file)}`]: { text: 'overwritten' } }) }, 'ADD evil.tar /x/\nRUN ls /x')
    assert.equal(fs.readFileSync(file, 'utf8'), 'the host\'s')
  })

  test('patterns and lines made to be slow', async () => {
    const stars = '*a'.repeat(60)
    const result = await post('', tar({ Dockerfile: dockerfile(`COPY ${stars}b /x`), ['a'.repeat(120)]: 'x', '.dockerignore': `${'**/'.repeat(500)}x\n`.repeat(50) }))
    assert.match(result.error.error, /no source files were specified/)
    const nested = await post('', tar({ Dockerfile: dockerfile(`ENV A=${'${B:-'.repeat(3000)}x${'}'.repeat(3000)}`) }))
    assert.match(nested.error.error, /nested too deeply/)
    const grow = await post('', tar({ Dockerfile: dockerfile(`ENV A=${'x'.repeat(5000)}\n${'ENV A=$A$A$A$A$A$A$A$A\n'.repeat(6)}`) }))
    assert.match(grow.error.error, /too long a text/)
    await nothingLeft()
  })

  test('a context that ends too early, and one compressed', async () => {
    const whole = tar({ Dockerfile: dockerfile('COPY big /big'), big: 'x'.repeat(300_000) })
    const cut = await post('', whole.subarray(0, 200_000))
    assert.equal(cut.status, 400)
    for (const program of ['gzip', 'bzip2', 'xz', 'zstd']) {
      const packed = execFileSync(program, ['-c'], { input: whole })
      assert.equal((await post(`t=packed-${program}`, packed)).error, undefined)
    }
    await nothingLeft()
  })
})

describe('many, and given up', () => {
  test('builds side by side', async () => {
    const results = await Promise.all(Array.from({ length: 6 }, (_, i) => built(`RUN echo ${i % 2} > /n; sleep 0.2\nCOPY f /f`, { f: `${i % 3}` })))
    for (const [i, result] of results.entries())
      assert.equal(await sh(result.tag, 'cat /n /f'), `${i % 2}\n${i % 3}`)
    await nothingLeft()
  })

  for (const wall of ['process', 'hyperv']) {
    test(`a client that hangs up ends its build: ${wall}`, SLOW, async () => {
      const dir = files({ Dockerfile: dockerfile('RUN echo started; sleep 1000') })
      const child = server.dockerSpawn('build', '--isolation', wall, '-t', 'never', dir)
      let said = ''
      child.stdout.on('data', (chunk) => { said += chunk })
      child.env = {}
      await until('the command to run', () => /^started$/m.test(said), 120_000)
      child.kill('SIGKILL')
      await nothingLeft()
      assert.notEqual((await server.docker('image', 'inspect', 'never')).code, 0)
    })
  }

  test('/build/cancel, by the id that the client chose', async () => {
    const id = fresh('job')
    const running = post(`buildid=${id}`, tar({ Dockerfile: dockerfile('RUN sleep 1000') }))
    await until('its container', async () => (await server.request('GET', '/containers/json')).json.length === 1)
    assert.equal((await server.request('POST', '/build/cancel')).status, 400)
    assert.equal((await server.request('POST', `/build/cancel?id=${id}`)).status, 200)
    assert.equal((await running).error.error, 'Build cancelled')
    await nothingLeft()
  })

  test('prune in the midst of a build does it no harm', async () => {
    const running = built('RUN echo 1 > /1\nRUN sleep 1\nRUN cat /1 > /2', {}, '--no-cache')
    for (let i = 0; i < 20; i++) {
      await server.request('POST', '/images/prune')
      await server.request('POST', '/build/prune?all=1')
    }
    const result = await running
    assert.equal(await sh(result.tag, 'cat /2'), '1')
  })
})

test('docker-py builds and reads the stream', async () => {
  const dir = files({ Dockerfile: dockerfile('ARG A\nRUN echo $A > /a\nCOPY f /f'), f: 'f' })
  const script = `
import docker, sys
client = docker.APIClient(base_url='unix://${server.socket}') if False else docker.DockerClient(base_url='unix://${server.socket}')
image, log = client.images.build(path='${dir}', tag='py:1', buildargs={'A': 'python'}, labels={'by': 'py'}, rm=True)
print(image.id, image.labels['by'], any('Successfully built' in line.get('stream', '') for line in log))
try:
    client.images.build(fileobj=__import__('io').BytesIO(b'FROM ${IMAGE}\\nRUN exit 3\\n'), forcerm=True)
except docker.errors.BuildError as error:
    print(error.msg)
`
  const result = spawnSync('/usr/bin/python3', ['-c', script], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stderr)
  const id = await ok('image', 'inspect', '--format', '{{.Id}}', 'py:1')
  assert.equal(result.stdout, `${id} py True\nThe command '/bin/sh -c exit 3' returned a non-zero code: 3\n`)
  assert.equal(await sh('py:1', 'cat /a /f'), 'python\nf')
})
