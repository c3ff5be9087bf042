// IPAdapter_plus used the id IPAdapterEncoder for two nodes, one after the other, that share no input for pictures.
// Files with the older one are told by that input, and get the id under which this pack has it.

export const OLDER = 'ImagePromptEncoderV1'

/** Give the older nodes of a workflow, as it is saved, and of its subgraphs their id.
 * @param {any} graph */
export function renameInGraph(graph) {
  for (const node of graph?.nodes ?? []) {
    const isOlder = node?.type === 'IPAdapterEncoder' && node.inputs?.some?.((/** @type {any} */ input) => input?.name === 'image_1')
    if (isOlder) node.type = OLDER
  }
  for (const subgraph of graph?.definitions?.subgraphs ?? []) renameInGraph(subgraph)
}
