// @ts-check
// Shows on Image Prompt Influence Map where each reference acted, over the picture that was made.
import { app } from '../../scripts/app.js'
import { addMap } from './influence_map/view.mjs'

app.registerExtension({
  name: 'image-prompt.influence_map',

  nodeCreated(created) {
    const node = /** @type {import('../devtools/types/comfy').Node} */ (created)
    if (node.comfyClass === 'ImagePromptInfluenceMap') addMap(node)
  }
})
