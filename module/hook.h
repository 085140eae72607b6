/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_HOOK_H
#define SOCKMAP_SPLICE_HOOK_H

int sms_hook_install(void);
void sms_hook_remove(void);

#endif
