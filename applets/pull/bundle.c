/* bundle: until lib/oci is there */
#include "pull/pull.h"

int bundle_make(const struct pull_job *j, int dir, struct err *err)
{
	(void)j;
	(void)dir;
	return err_set(err, ERR_UNIMPLEMENTED, "--bundle does not work yet");
}
