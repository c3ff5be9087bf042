// What the scripts use of ComfyUI's frontend, where its published types lack it.
import type { ComfyExtension, DOMWidget, DOMWidgetOptions } from '@comfyorg/comfyui-frontend-types'

type CreatedNode = Parameters<NonNullable<ComfyExtension['nodeCreated']>>[0]

export type Widget = NonNullable<CreatedNode['widgets']>[number]

export type Node = CreatedNode & {
  comfyClass?: string
  imgs?: HTMLImageElement[]
  onExecuted?(output: Record<string, any> | undefined): void
  onDragOver?(event: DragEvent): boolean
  onDragDrop?(event: DragEvent): boolean | Promise<boolean>
  addDOMWidget<T extends HTMLElement, V extends object | string>(
    name: string,
    type: string,
    element: T,
    options?: DOMWidgetOptions<V>
  ): DOMWidget<T, V>
}
