package state

import (
	"edgeplug/internal/convert"
	"edgeplug/internal/reason"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_state"
	"edgeplug/internal/wit_types"
)

func get(key string) ([]byte, error) {
	result := wit.Get(convert.Text(key))
	if result.IsErr() {
		return nil, failure(result.Err())
	}
	value, found := result.Ok().Get()
	if found && value == nil {
		value = []byte{}
	}
	return value, nil
}

func set(key string, value []byte) error { return nothing(wit.Set(convert.Text(key), value)) }

func remove(key string) error { return nothing(wit.Delete(convert.Text(key))) }

func keys() ([]string, error) {
	result := wit.Keys()
	if result.IsErr() {
		return nil, failure(result.Err())
	}
	return result.Ok(), nil
}

func nothing(result wit_types.Result[wit_types.Unit, wit.Error]) error {
	if result.IsErr() {
		return failure(result.Err())
	}
	return nil
}

func failure(err wit.Error) error {
	if err.Tag() == wit.Error_Quota {
		return reason.Of(ErrQuota, err.Quota())
	}
	return reason.Of(ErrUnavailable, err.Unavailable())
}
