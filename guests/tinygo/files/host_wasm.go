package files

import (
	"errors"

	"edgeplug/internal/convert"
	"edgeplug/internal/reason"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_files"
	"edgeplug/internal/wit_types"
)

func read(path string) ([]byte, error) { return value(wit.Read(convert.Text(path))) }

func readAt(path string, offset uint64, length uint32) ([]byte, error) {
	return value(wit.ReadAt(convert.Text(path), offset, length))
}

func find(pattern string) ([]string, error) { return value(wit.Find(convert.Text(pattern))) }

func value[T any](result wit_types.Result[T, wit.Error]) (value T, err error) {
	if !result.IsErr() {
		return result.Ok(), nil
	}
	switch err := result.Err(); err.Tag() {
	case wit.Error_Denied:
		return value, reason.Of(ErrDenied, err.Denied())
	case wit.Error_NotFound:
		return value, ErrNotFound
	case wit.Error_TooLarge:
		return value, &TooLargeError{err.TooLarge()}
	default:
		return value, errors.New(err.Other())
	}
}
