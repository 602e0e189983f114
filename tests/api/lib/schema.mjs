// A JSON value held against a schema of the OpenAPI document. Stricter than JSON Schema:
// a property that is not described is an error. seen collects the properties that were
// met, by their path from the named schema that describes them.
export function check(document, schema, value, at, errors, seen = new Set()) {
  while (schema.$ref) {
    at = schema.$ref.split('/').pop()
    schema = document.components.schemas[at]
  }
  if (value === null) {
    if (!schema.nullable) errors.push(`${at}: null`)
    return
  }
  const is = Array.isArray(value) ? 'array' : typeof value
  const wanted = schema.type === 'integer' ? 'number' : schema.type
  if (wanted && wanted !== is) { errors.push(`${at}: ${is}, not ${schema.type}`); return }
  if (schema.type === 'integer' && !Number.isInteger(value)) errors.push(`${at}: ${value} is no integer`)
  if (schema.enum && !schema.enum.includes(value)) errors.push(`${at}: ${value} is none of ${schema.enum}`)
  if (is === 'array') {
    for (const item of value) check(document, schema.items ?? {}, item, `${at}[]`, errors, seen)
  } else if (is === 'object') {
    for (const name of schema.required ?? []) if (!(name in value)) errors.push(`${at}.${name}: missing`)
    for (const [name, item] of Object.entries(value)) {
      const property = schema.properties?.[name]
      if (property) {
        seen.add(`${at}.${name}`)
        check(document, property, item, `${at}.${name}`, errors, seen)
      } else if (schema.additionalProperties) {
        if (typeof schema.additionalProperties === 'object') check(document, schema.additionalProperties, item, `${at}.*`, errors, seen)
      } else if (schema.properties) {
        errors.push(`${at}.${name}: not described`)
      }
    }
  }
}

// The paths of all properties a schema describes.
export function described(document, schema, at, into = new Set(), depth = 0) {
  while (schema.$ref) {
    at = schema.$ref.split('/').pop()
    schema = document.components.schemas[at]
  }
  if (depth > 12) return into
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    into.add(`${at}.${name}`)
    described(document, property, `${at}.${name}`, into, depth + 1)
  }
  if (schema.items) described(document, schema.items, `${at}[]`, into, depth + 1)
  if (schema.additionalProperties?.properties || schema.additionalProperties?.$ref) described(document, schema.additionalProperties, `${at}.*`, into, depth + 1)
  return into
}
