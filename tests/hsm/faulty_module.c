/* SPDX-License-Identifier: Apache-2.0
 * A PKCS#11 module that hands every call to FAULT_MODULE, and answers C_Login and
 * C_Sign with the CK_RV in FAULT_LOGIN and FAULT_SIGN where they are set: the
 * states of a token that SoftHSM never enters. Each login adds a line to FAULT_LOG. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned long rv;
typedef rv (*call4)(unsigned long, unsigned long, void *, unsigned long);
typedef rv (*call5)(unsigned long, void *, unsigned long, void *, unsigned long *);
struct list {
	unsigned char version[2];
	void *functions[68];
};

enum { GET_FUNCTION_LIST = 3, LOGIN = 18, SIGN = 43 };

static struct list *real, ours;

static int fault(const char *name, rv *code)
{
	const char *text = getenv(name);

	if (text == NULL)
		return 0;
	*code = strtoul(text, NULL, 0);
	return 1;
}

static rv login(unsigned long session, unsigned long user, void *pin, unsigned long size)
{
	const char *name = getenv("FAULT_LOG");
	FILE *log = name == NULL ? NULL : fopen(name, "a");
	rv code;

	if (log != NULL) {
		fputs("login\n", log);
		fclose(log);
	}
	if (fault("FAULT_LOGIN", &code))
		return code;
	return ((call4)real->functions[LOGIN])(session, user, pin, size);
}

static rv sign(unsigned long session, void *data, unsigned long size, void *out, unsigned long *got)
{
	rv code;

	if (fault("FAULT_SIGN", &code))
		return code;
	return ((call5)real->functions[SIGN])(session, data, size, out, got);
}

rv C_GetFunctionList(struct list **answer)
{
	void *module = dlopen(getenv("FAULT_MODULE"), RTLD_NOW);
	rv (*get)(struct list **);
	rv code;

	if (module == NULL)
		return 5; /* CKR_GENERAL_ERROR */
	get = (rv (*)(struct list **))dlsym(module, "C_GetFunctionList");
	code = get(&real);
	if (code != 0)
		return code;
	ours = *real;
	ours.functions[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
	ours.functions[LOGIN] = (void *)login;
	ours.functions[SIGN] = (void *)sign;
	*answer = &ours;
	return 0;
}
