// IPAdapter_plus used the id IPAdapterEncoder for two nodes, one after the other, that share no input for pictures.
// Files with the older one are told by that input, and get the id under which this pack has it.

export const OLDER = 'ImagePromptEncoderV1'

// A workflow as it is saved, with its subgraphs.
export function renameInGraph(graph) {
  for (const node of graph?.nodes ?? []) rename(node, 'type', node.inputs?.map?.((input) => input.name))
  for (const subgraph of graph?.definitions?.subgraphs ?? []) renameInGraph(subgraph)
}

// A prompt as programs send it.
export function renameInPrompt(prompt) {
  for (const node of Object.values(prompt ?? {})) rename(node, 'class_type', Object.keys(node?.inputs ?? {}))
}

function rename(node, key, inputs) {
  if (node?.[key] === 'IPAdapterEncoder' && inputs?.includes('image_1')) node[key] = OLDER
}
