// @ts-check
// Which node of a graph is meant, what lies before it, and whether that is as it was.

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {{do: 'use' | 'copy' | 'open', file: string, inputs: string[], link: string}} Remedy */

const FILE = /\.(safetensors|sft|ckpt|pt|pth|bin)$/i

/** The node that ran under an id, such as '5', or '12:7' for node 7 in the subgraph of node 12. Nodes that a node made
 * while it ran, such as '5.0.0.1', stand for that one.
 * @param {any} graph the outermost @param {string | number} id @returns {Node | undefined} */
export function nodeOf(graph, id) {
  const [own, ...inner] = String(id).split('.')[0].split(':').reverse()
  for (const outer of inner.reverse()) graph = graph?.getNodeById(outer)?.subgraph
  return graph?.getNodeById(own) ?? undefined
}

/** The key under which the frontend keeps the outputs of a node.
 * @param {Node} node */
export function keyOf(node) {
  const graph = /** @type {any} */ (node.graph)
  return !graph || graph.isRootGraph !== false ? String(node.id) : `${graph.id}:${node.id}`
}

/** All nodes of a graph and of its subgraphs, with the ids under which they run.
 * @param {any} graph @param {string} [around] the id of the node that holds the graph, and a colon
 * @returns {[string, Node][]} */
export function everyNode(graph, around = '') {
  return (graph?.nodes ?? []).flatMap((/** @type {any} */ node) => [
    [`${around}${node.id}`, node],
    ...everyNode(node.subgraph, `${around}${node.id}:`)
  ])
}

/** A node and all that lie before it, the nearest first.
 * @param {Node} node @returns {Node[]} */
export function chainOf(node) {
  const found = [node]
  for (const each of found)
    for (let place = 0; place < (each.inputs?.length ?? 0); place++) {
      const before = /** @type {Node | null} */ (each.getInputNode(place))
      if (before && !found.includes(before)) found.push(before)
    }
  return found
}

/** A text that differs once a node, or one before it, has other values or wires. Seeds change by themselves.
 * @param {Node} node @returns {string} */
export function stateOf(node) {
  return JSON.stringify(
    chainOf(node).map((each) => [
      each.id,
      each.type,
      (each.widgets ?? [])
        .filter((/** @type {any} */ widget) => widget.serialize !== false && !widget.linkedWidgets)
        .map((widget) => widget.value ?? null),
      (each.inputs ?? []).map((_, place) => {
        const link = /** @type {any} */ (each.getInputLink(place))
        return link ? [link.origin_id, link.origin_slot] : null
      })
    ])
  )
}

/** Whether an input names a model file that is not in its list.
 * @param {any} widget */
export function isMissing(widget) {
  const choices = widget?.options?.values
  return Array.isArray(choices) && FILE.test(String(widget.value)) && !choices.includes(widget.value)
}

/** The nearest input that lists the file that fits: of the node itself, or of one before it.
 * @param {Node} node @param {Remedy} remedy @returns {{node: Node, name: string} | undefined} */
export function inputFor(node, { file, inputs }) {
  for (const each of chainOf(node))
    for (const widget of each.widgets ?? []) {
      const choices = /** @type {any} */ (widget.options)?.values
      if (inputs.includes(widget.name) && Array.isArray(choices) && choices.includes(file) && widget.value !== file)
        return { node: each, name: widget.name }
    }
  return undefined
}
