// normalise.mjs - what two engines cannot say alike: ids, times, pids, sizes that the
// host gives, names drawn by lot. Everything else is compared byte for byte.

const rules = [
  // The CLI's own log: its goroutines race with each other.
  [/^time="[^\n]* level=\w+ msg=[^\n]*\n/gm, ''],
  [/sha256:[0-9a-f]{64}/g, 'sha256:<id>'],
  [/\b[0-9a-f]{64}\b/g, '<id>'],
  [/\b[0-9a-f]{12}\b/g, '<short>'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d)( [A-Z]+)?)?/g, '<time>'],
  [/\b(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?|months?|weeks?|days?|years?))( ago)?\b/g, '<age>'],
  [/(127\.0\.0\.1|0\.0\.0\.0|\[::\]|\[::1\]):\d{5}\b/g, '$1:<port>'],
  [/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, '<mac>'],
  [/\b(\d+(\.\d+)?)(B|kB|MB|GB|KiB|MiB|GiB)\b/g, '<size>'],
  [/\b172\.\d+\.\d+\.\d+\b/g, '<address>'],
]

export const normaliseText = (text, roots) => {
  for (const root of roots) text = text.replaceAll(root, '<root>')
  for (const [pattern, by] of rules) text = text.replace(pattern, by)
  return text.replaceAll('\r\n', '\n').replace(/[ \t]+/g, ' ').replace(/ +$/gm, '')
}

export function normalise(value, roots) {
  if (typeof value === 'string') return normaliseText(value, roots)
  if (Array.isArray(value)) return value.map((item) => normalise(item, roots))
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [normaliseText(key, roots), normalise(item, roots)]))
  return value
}
