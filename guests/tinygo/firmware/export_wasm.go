package firmware

import (
	"errors"

	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_firmware"
	witFile "edgeplug/internal/wit/imports/edgeplug_plugin_firmware_file"
	"edgeplug/internal/wit_types"
)

func witUpdate(request wit.Request) wit_types.Result[wit.Reply, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/firmware, but does not call firmware.Export in an init function")
	}
	return convert.Reply(exported.Update(&Update{
		ID: request.Id, Device: convert.NameOf(request.Device), Name: request.Name, Version: request.Version,
		Size: request.Size, SHA256: request.Sha256,
	}))
}

func read(id string, offset uint64, length uint32) ([]byte, error) {
	result := witFile.Read(convert.Text(id), offset, length)
	if result.IsErr() {
		return nil, errors.New(result.Err())
	}
	return result.Ok(), nil
}
