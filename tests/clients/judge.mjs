// judge.mjs - compares what two engines gave, and holds the differences against the
// stated ones.
import { differences } from './differences.mjs'
import { normalise } from './normalise.mjs'

const seen = new Set()
const json = (value) => String(JSON.stringify(value))

const isObject = (value) => value !== null && typeof value === 'object'
/** Lists of names in order are sets: one that is missing is one difference, not many. */
const isNames = (value) => Array.isArray(value) && value.length > 0 &&
  value.every((item, i) => typeof item === 'string' && (i === 0 || value[i - 1] < item))
const asSet = (value) => Object.fromEntries(value.map((name) => [name, 'there']))

// Every place where two values differ: [path, docker's, ours].
function compare(docker, ours, at) {
  if (json(docker) === json(ours)) return []
  if (isNames(docker) && isNames(ours)) return compare(asSet(docker), asSet(ours), at)
  if (!isObject(docker) || !isObject(ours) || Array.isArray(docker) !== Array.isArray(ours)) return [[at, docker, ours]]
  return [...new Set([...Object.keys(docker), ...Object.keys(ours)])].flatMap((key) => compare(docker[key], ours[key], `${at}/${key}`))
}

function isStated(at, docker, ours) {
  const entries = differences.filter((entry) => entry.where.test(at))
  const whole = entries.find((entry) => !(entry.docker instanceof RegExp) && json(entry.docker) === json(docker) && json(entry.ours) === json(ours))
  if (whole) return seen.add(whole)
  if (typeof docker !== 'string' || typeof ours !== 'string') return false
  const needed = []
  let text = docker
  for (const entry of entries.filter((entry) => entry.docker instanceof RegExp)) {
    if (text === ours) break
    const replaced = text.replace(entry.docker, entry.ours)
    if (replaced !== text) needed.push(entry)
    text = replaced
  }
  if (text !== ours) return false
  for (const entry of needed) seen.add(entry)
  return true
}

export const judge = {
  differences: (at, docker, ours, roots) => compare(normalise(docker, roots), normalise(ours, roots), at)
    .filter((difference) => !isStated(...difference))
    .map(([where, theirs, mine]) => `${where}\n  docker  ${json(theirs)}\n  tabique ${json(mine)}`),
  unseen: () => differences.filter((entry) => !seen.has(entry)).map((entry) => `${entry.where} ${entry.docker}: ${entry.why}`),
}
