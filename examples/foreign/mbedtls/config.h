/* SPDX-License-Identifier: Apache-2.0 */
/* What is switched on: the table of what is switched on. */
#pragma once
#define MBEDTLS_VERSION_C
#define MBEDTLS_VERSION_FEATURES
