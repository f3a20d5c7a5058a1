// Buses, lines and ports, by the names that the operator gave them; who owns what is said in edgeplug.h.
//
// This version of the daemon has none yet and answers every call with EDGEPLUG_HARDWARE_ERROR_DENIED.
#ifndef EDGEPLUG_HARDWARE_H
#define EDGEPLUG_HARDWARE_H

#include "edgeplug.h"

#ifdef __cplusplus
extern "C" {
#endif

// Carries out up to 42 operations on one I2C device without giving up the bus. `answers` has one list of bytes for
// every read, in order; free it by edgeplug_bytes_list_free.
bool edgeplug_i2c_transaction(const char *bus, uint16_t address, const edgeplug_i2c_operation_t *operations,
                              size_t count, edgeplug_bytes_list_t *answers, edgeplug_hardware_error_t *why);

// Carries out up to 32 operations on an SPI device while it stays selected. `answers` has one list of bytes for every
// read and transfer, in order; free it by edgeplug_bytes_list_free.
bool edgeplug_spi_transaction(const char *device, const edgeplug_spi_operation_t *operations, size_t count,
                              edgeplug_bytes_list_t *answers, edgeplug_hardware_error_t *why);

// Operations for both lists above: `edgeplug_i2c_operation_t operations[] = {edgeplug_i2c_write(data, 2),
// edgeplug_i2c_read(6)};`. Data is borrowed, as long as the operation is used; there is nothing to free.
edgeplug_i2c_operation_t edgeplug_i2c_read(uint16_t length);
edgeplug_i2c_operation_t edgeplug_i2c_write(const void *data, size_t length);
edgeplug_spi_operation_t edgeplug_spi_read(uint16_t length);
edgeplug_spi_operation_t edgeplug_spi_write(const void *data, size_t length);
edgeplug_spi_operation_t edgeplug_spi_transfer(const void *data, size_t length);
edgeplug_spi_operation_t edgeplug_spi_delay(uint32_t nanoseconds);

bool edgeplug_gpio_read(const char *line, bool *active, edgeplug_hardware_error_t *why);
bool edgeplug_gpio_write(const char *line, bool active, edgeplug_hardware_error_t *why);
// Waits for an edge, at most 60 000 ms. `seen` says whether there was one since the last call.
bool edgeplug_gpio_wait(const char *line, edgeplug_gpio_edge_t edge, uint32_t time_ms_max, bool *seen,
                        edgeplug_hardware_error_t *why);

// Up to `length` bytes (4096 at most), what came in since the last call or comes within a time (60 000 ms at most).
bool edgeplug_serial_read(const char *port, uint32_t length, uint32_t time_ms_max, edgeplug_bytes_t *data,
                          edgeplug_hardware_error_t *why);
// All of it, 1 to 4096 bytes.
bool edgeplug_serial_write(const char *port, const void *data, size_t length, edgeplug_hardware_error_t *why);

// The error in words, a new string. The error is freed and must not be used again.
edgeplug_string_t edgeplug_hardware_error_text(edgeplug_hardware_error_t *why);

#ifdef __cplusplus
}
#endif
#endif
