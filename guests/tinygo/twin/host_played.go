//go:build !wasm

package twin

import "edgeplug/internal/played"

func get() (Document, error) {
	document, err := played.Current().Twin()
	if err != nil {
		return Document{}, err
	}
	return document.(Document), nil
}

func report(patch string) (uint64, error) { return played.Current().ReportTwin(patch) }
