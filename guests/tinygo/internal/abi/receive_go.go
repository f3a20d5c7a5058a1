//go:build wasm && !tinygo

package abi

import "unsafe"

// While the host allocates, no import may be called: the call would trap ("cannot leave component instance"). Go's
// collector calls some, for the time. A pinned goroutine neither starts a collection nor helps with one, and for what
// remains (the allocator may look at the monotonic clock) the adapter is told to answer without asking the host.

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

// The runtime has called the adapter long before this.
func init() { ready = true }

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if !ready {
		return receive(old, oldSize, align, size)
	}
	procPin()
	pauseClock(true)
	object := receive(old, oldSize, align, size)
	pauseClock(false)
	procUnpin()
	return object
}
