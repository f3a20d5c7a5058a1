//go:build wasm

package abi

import "unsafe"

// The adapter between WASI preview 1 and the component asks for memory once, when it is first called, and keeps it: a
// page for its state and a page for its stack. The runtime is not up at that moment, and later would be no better:
// memory from the heap would be collected. So it gets this, until ready is set.
const adapterBytes = 2*65536 + 2*8

var (
	adapter     [adapterBytes]byte
	adapterUsed uintptr
	ready       bool
)

func receive(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if !ready {
		return forAdapter(align, size)
	}
	object := allocate(size)
	if object == nil {
		return nil
	}
	received = append(received, object)
	if old != nil {
		copy(unsafe.Slice((*byte)(object), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	}
	return object
}

func forAdapter(align, size uintptr) unsafe.Pointer {
	base := uintptr(unsafe.Pointer(&adapter))
	start := (base+adapterUsed+align-1)&^(align-1) - base
	if start+size > adapterBytes {
		panic("the WASI adapter asks for more memory than edgeplug's Go package sets aside")
	}
	adapterUsed = start + size
	return unsafe.Pointer(&adapter[start])
}
