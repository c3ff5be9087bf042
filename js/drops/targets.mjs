// @ts-check
// The nodes on which pictures can be dropped, and the nodes that bring a picture to each of their sockets.

export const PICTURE = 'LoadImage'
export const ENCODE = 'ImagePromptEncode'
const REFERENCE = 'ImagePromptReference'

/** The input of each node of a chain that takes what comes before it.
 * @type {Record<string, string>} */
export const TAKES = {
  [ENCODE]: 'image',
  ImagePromptEncodeFace: 'image',
  ImagePromptEncodeCharacter: 'image',
  [REFERENCE]: 'features'
}
export const ENCODERS = [ENCODE, 'ImagePromptEncodeFace', 'ImagePromptEncodeCharacter']

/** @typedef {{sockets: RegExp, chain: readonly string[]}} Target its sockets, and what brings a picture to one */

const PICTURES = { sockets: /^image$/, chain: [PICTURE] }
const FEATURES = { sockets: /^features$/, chain: [PICTURE, ENCODE] }
const REFERENCES = { sockets: /^references\.reference_\d+$/, chain: [PICTURE, ENCODE, REFERENCE] }

/** @type {Record<string, Target>} */
export const TARGETS = {
  ...Object.fromEntries(ENCODERS.map((type) => [type, PICTURES])),
  ImagePromptCombine: { sockets: /^features_\d+$/, chain: [PICTURE, ENCODE] },
  ImagePromptApply: FEATURES,
  [REFERENCE]: FEATURES,
  ImagePromptApplyReferences: REFERENCES,
  ImagePromptConditioning: REFERENCES,
  ImagePromptRegions: REFERENCES
}
