// Package abi holds the memory that crosses between the plugin and the host. Only the generated bindings use it.
//
// To a garbage collector a pointer that the host holds is a number, so something here must hold it as a pointer for as
// long. Being held is enough: neither standard Go nor TinyGo moves what lies on the heap, and what is held here lies
// there.
//
// It stands in for go.bytecodealliance.org/pkg/wit/runtime, which TinyGo cannot compile (it has no runtime.Pinner), and
// for runtime.Pinner itself.
package abi

import "unsafe"

var (
	// under counts the pinners that hold something: the calls under way.
	under int
	// received is what the host allocated here for values that are not known to have become Go values yet.
	received []unsafe.Pointer
	// static is held for good.
	static []unsafe.Pointer
)

// Pinner holds what one call has handed to the host.
type Pinner struct {
	held []unsafe.Pointer
}

// Pin holds one object until Unpin.
func (p *Pinner) Pin(object unsafe.Pointer) {
	if object == nil {
		return
	}
	if len(p.held) == 0 {
		under++
	}
	p.held = append(p.held, object)
}

// Unpin ends the call.
func (p *Pinner) Unpin() {
	if len(p.held) > 0 {
		under--
		p.held = nil
	}
	Unpin()
}

// Unpin lets go of what the host allocated: the values are Go values by now. Another goroutine may be in the middle of
// a call of its own, its values not yet made; then whoever ends last does it.
func Unpin() {
	if under == 0 {
		received = nil
	}
}

// Allocate returns zeroed memory that the pinner holds, nil for no bytes.
func Allocate(pinner *Pinner, size, _ uintptr) unsafe.Pointer {
	object := allocate(size)
	pinner.Pin(object)
	return object
}

// AllocateStatic returns zeroed memory that is held for good.
func AllocateStatic(size, _ uintptr) unsafe.Pointer {
	object := allocate(size)
	static = append(static, object)
	return object
}

// Eight bytes are the largest alignment that the component model knows.
func allocate(size uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
}
