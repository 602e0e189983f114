// No text is missing in a language, and none stands in the code.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const web = fileURLToPath(new URL('../../../web', import.meta.url))
const en = (await import(path.join(web, 'locales/en.js'))).default
const es = (await import(path.join(web, 'locales/es.js'))).default
const sources = ['app', 'components', 'views'].flatMap((folder) => fs.readdirSync(path.join(web, folder), { recursive: true }).map((name) => path.join(folder, String(name))))
  .filter((name) => name.endsWith('.js')).concat('main.js').map((name) => [name, fs.readFileSync(path.join(web, name), 'utf8')])

const holes = (text) => [...JSON.stringify(text).matchAll(/\{(\w+)\}/g)].map((m) => m[1]).filter((v, i, a) => a.indexOf(v) === i).sort()
test('English and Spanish have the same texts', () => {
  assert.deepEqual(Object.keys(es).sort(), Object.keys(en).sort())
  for (const [key, text] of Object.entries(en)) {
    assert.equal(typeof es[key], typeof text, key)
    const forms = typeof text === 'object' ? Object.values(text) : [text]
    for (const form of [...forms, ...(typeof es[key] === 'object' ? Object.values(es[key]) : [es[key]])]) assert.ok(form.trim(), key + ' is empty')
    const wanted = holes(text), got = holes(es[key])
    assert.deepEqual(got.filter((name) => name !== 'n'), wanted.filter((name) => name !== 'n'), key)
  }
})
test('every text that is asked for exists', () => {
  const missing = []
  for (const [name, source] of sources) {
    for (const [, key] of source.matchAll(/\bt\('([\w.?-]+)'[),]/g)) if (!(key in en)) missing.push(`${name}: ${key}`)
    for (const [, prefix] of source.matchAll(/\bt\('([\w.-]+\.)' \+/g)) if (!Object.keys(en).some((key) => key.startsWith(prefix))) missing.push(`${name}: ${prefix}*`)
  }
  assert.deepEqual(missing, [])
})
test('every text that exists is asked for', () => {
  const all = sources.map(([, source]) => source).join('\n')
  const prefixes = [...all.matchAll(/'([\w.-]+\.)' \+/g)].map((m) => m[1])
  const unused = Object.keys(en).filter((key) => !all.includes(`'${key}'`) && !prefixes.some((prefix) => key.startsWith(prefix)))
  assert.deepEqual(unused, [])
})

// The literal parts of html`` templates, without what stands in ${}.
function* markup(source) {
  for (let i = source.indexOf('html`'); i >= 0; i = source.indexOf('html`', i + 5)) {
    let text = '', at = i + 5
    for (; at < source.length && source[at] !== '`'; at++) {
      if (source[at] === '$' && source[at + 1] === '{') {
        let depth = 1, quote = ''
        for (at += 2; depth > 0 && at < source.length; at++) {
          const c = source[at]
          if (quote) { if (c === '\\') at++; else if (c === quote) quote = '' }
          else if (c === "'" || c === '"') quote = c
          else if (c === '`') { let inner = 0; for (at++; at < source.length && (source[at] !== '`' || inner > 0); at++) { if (source[at] === '$' && source[at + 1] === '{') { inner++; at++ } else if (source[at] === '}' && inner > 0) inner-- } }
          else if (c === '{') depth++
          else if (c === '}') depth--
        }
        at--
        text += '\u0001'
      } else text += source[at]
    }
    yield text
  }
}
// Names and code, the same in every language.
const allowed = new Set(['Tabique', 'Ctrl K', 'CSV', 'vmwp', 'MAC', 'DNS', 'Dockerfile'])
test('no text is written into the markup', () => {
  const found = []
  for (const [name, source] of sources)
    for (const text of markup(source)) {
      for (const [, inner] of text.matchAll(/>([^<>]*)</g)) {
        const words = inner.replaceAll('\u0001', ' ').trim()
        if (/\p{L}{2,}/u.test(words) && !allowed.has(words) && !words.startsWith('docker -H')) found.push(`${name}: ${words}`)
      }
      for (const [, attribute, words] of text.matchAll(/\b(aria-label|title|placeholder|alt)="([^"\u0001]*\p{L}{2,}[^"\u0001]*)"/gu))
        if (!/^(docker run|ping localhost|registry[:/]|repository:|KEY=)/.test(words)) found.push(`${name}: ${attribute}=${words}`)
    }
  assert.deepEqual(found, [])
})
test('nothing sets markup from a string', () => {
  for (const [name, source] of sources) assert.ok(!/innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function/.test(source), name)
})
