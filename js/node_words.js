// @ts-check
// Shows on our nodes in the language of the browser what ComfyUI's frontend leaves in English: the choices of combo
// boxes, and the names in empty text boxes. The values that are saved and sent stay English.
import { app } from '../../scripts/app.js'
import { choiceWords } from './lib/words.mjs'

app.registerExtension({
  name: 'image-prompt.node_words',

  nodeCreated(/** @type {import('../devtools/types/comfy').Node} */ node) {
    for (const widget of node.widgets ?? []) {
      const words = widget.type === 'combo' ? choiceWords(String(node.comfyClass), widget.name) : undefined
      if (words) widget.options.getOptionLabel = (value) => words[value ?? ''] ?? value ?? ''
      const box = 'element' in widget ? widget.element : undefined
      if (box instanceof HTMLTextAreaElement && box.placeholder === widget.name)
        box.placeholder = widget.label ?? widget.name
    }
  }
})
