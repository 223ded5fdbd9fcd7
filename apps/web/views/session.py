"""Log in and out. Failures never tell whether the user exists."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView

login = LoginView.as_view(template_name="login.html", redirect_authenticated_user=True)
logout = LogoutView.as_view(next_page="/login/")
