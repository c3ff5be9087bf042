// @ts-check
// The open graph in few words, from which the server tells which model files it needs: what is chosen in each node, and
// what is linked into it. Texts that are written by hand stay here.

const NEVER = 2
const BYPASSED = 4
const LONGEST = 500

/**
 * @typedef {{id: string, type: string, values: Record<string, string>, before: string[]}} Described
 * @typedef {{name: string, directory: string, url: string}} Model
 */

/** The nodes of a graph and of its subgraphs, and the files that they say they need.
 * @param {any} graph @returns {{nodes: Described[], models: Model[]}} */
export function describe(graph) {
  /** @type {Described[]} */
  const nodes = []
  /** @type {Model[]} */
  const models = []
  add(graph, '', nodes, models, 0)
  return { nodes, models }
}

/** @param {any} graph @param {string} prefix @param {Described[]} nodes @param {Model[]} models @param {number} depth
 * @returns {string[]} the ids of its nodes */
function add(graph, prefix, nodes, models, depth) {
  const ids = []
  for (const node of graph?.nodes ?? []) {
    const id = `${prefix}${node.id}`
    ids.push(id)
    const runs = node.mode !== NEVER && node.mode !== BYPASSED
    const inside = runs && node.subgraph && depth < 20 ? add(node.subgraph, `${id}:`, nodes, models, depth + 1) : []
    const before = [...linked(node).map((each) => `${prefix}${each}`), ...inside]
    nodes.push({ id, type: runs ? node.type : '', values: runs ? choices(node) : {}, before })
    if (runs) models.push(...told(node))
  }
  return ids
}

/** The values that are chosen from lists.
 * @param {any} node */
function choices(node) {
  /** @type {Record<string, string>} */
  const found = {}
  for (const { type, name, value } of node.widgets ?? [])
    if (type === 'combo' && typeof value === 'string' && value.length <= LONGEST) found[name] = value
  return found
}

/** The ids of the nodes that are linked into a node.
 * @param {any} node @returns {string[]} */
function linked(node) {
  const slots = [...(node.inputs ?? []).keys()]
  const found = slots.map((slot) => node.getInputNode?.(slot)).filter(Boolean)
  return found.map(({ id }) => String(id))
}

/** What a saved workflow says of the files of a node.
 * @param {any} node @returns {Model[]} */
function told(node) {
  const models = node.properties?.models
  if (!Array.isArray(models)) return []
  const texts = (/** @type {any} */ each) => [each?.name, each?.directory, each?.url]
  return models
    .filter((each) => texts(each).every((text) => typeof text === 'string' && text.length <= LONGEST))
    .map(({ name, directory, url }) => ({ name, directory, url }))
}
